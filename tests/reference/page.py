"""The page: an introduction, and for each public name its declaration, docstring, members and example."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from typing import Any

from .examples import EXAMPLES, PRELUDE
from .members import Member, members, signature

__all__ = ["PATH", "page", "public"]

PATH = Path(__file__).parents[2] / "docs" / "python.md"
WIDTH = 110
TITLES = {
    "realtime": "What applications use, on both ends.",
    "realtime.testing": "Help for tests. The pytest fixture `realtime_client` is a `Clients`, closed after the test.",
    "realtime.metrics": "Metrics for Prometheus ([metrics](metrics.md)): `pip install 'aiohttp-realtime[metrics]'`.",
}
# Settings have tables of their own.
TABLES = {
    "Cluster": "configuration.md#several-workers",
    "Config": "configuration.md#server-and-endpoints",
    "EngineIO": "configuration.md#engineio",
    "STOMP": "configuration.md#stomp",
    "SockJS": "configuration.md#sockjs",
    "SocketIO": "configuration.md#events-and-socketio",
    "WebTransport": "configuration.md#webtransport",
}
# What applications are given, and do not make.
GIVEN = {
    "BlockingIdentity",
    "Change",
    "ClientNamespace",
    "ClientSession",
    "EventRoom",
    "EventSession",
    "Headers",
    "Health",
    "History",
    "Identity",
    "MadeCertificate",
    "Namespace",
    "ProxiedRequest",
    "ProxyEvent",
    "Room",
    "Rule",
    "Session",
    "SessionInfo",
    "State",
    "StompClient",
}
# What the names of `realtime` concern, in the order in which one meets them.
GROUPS = {
    "The server": "Server setup get_server client_url readiness Health tune_gc",
    "Sessions and rooms": "Session SessionRequest State Room History Change Identity SessionInfo",
    "The Python client": "connect ClientSession ClientNamespace",
    "Events": "Events Namespace EventSession EventRoom",
    "STOMP": "STOMP StompClient StompMessage",
    "Errors": "RealtimeError SessionClosed SendBufferFull LocalProtocolError RemoteProtocolError NegotiationError"
    " Refusal Unauthorized EventError BrokerError",
    "Options": "Config SockJS EngineIO SocketIO WebTransport",
    "Several processes": "RedisBroker MemoryBroker Cluster Publisher BlockingPublisher BlockingIdentity",
}
INTRODUCTION = """\
# The Python interface

Every public name of `realtime`, `realtime.testing` and `realtime.metrics`. Made from the docstrings, by
`make reference`: a test fails when this page is older than they are. What is not on this page, or begins with an
underscore, is no part of the interface and may change at any time. Times are in seconds and sizes in bytes, where
nothing else is said. A wrong setting is told by an error that names it ([configuration](configuration.md)).

Supabase's client is imported as `realtime`, too: the two cannot share an environment
([more](../README.md#two-packages-named-realtime)). A name of theirs that is asked of this module raises ImportError.

A server, its sessions and rooms, and a client's session are used in their own event loop alone. From another thread or
loop what changes them raises LocalProtocolError, and nothing has happened; there, call
`asyncio.run_coroutine_threadsafe(session.send(message), loop)`, or
`loop.call_soon_threadsafe(session.send_nowait, message)`.

The examples are run by the tests. Each goes on from here, in `python -m asyncio` for instance, where `await` can be
written anywhere:

```python
{prelude}
```

with the application served at `host` and `port`, and `base` for `f"http://{{host}}:{{port}}/realtime"`.
"""


def public() -> dict[str, Any]:
    """Every public name, with its module before it."""
    modules = {name: importlib.import_module(name) for name in TITLES}
    return {f"{name}.{each}": getattr(module, each) for name, module in modules.items() for each in module.__all__}


def page() -> str:
    """The page as it has to be."""
    parts = [INTRODUCTION.format(prelude=PRELUDE.strip())]
    shown: dict[type, str] = {}  # the classes whose members have been shown, and where
    things = public()
    for module, title in TITLES.items():
        names = [name for name in EXAMPLES if name.rpartition(".")[0] == module]
        if module == "realtime":
            grouped = {group: [f"{module}.{each}" for each in listed.split()] for group, listed in GROUPS.items()}
            links = "\n".join(f"- {group}: {_links(listed)}" for group, listed in grouped.items())
            placed = [name for listed in grouped.values() for name in listed]
            assert sorted(names) == sorted(placed), "each public name has a place in GROUPS"
            names = placed
        else:
            links = _links(names)
        parts.append(f"## {module}\n\n{title}\n\n{links}\n")
        for name in names:
            parts.append(_entry(name, things[name], shown))
    return "\n".join(parts)


def _links(names: list[str]) -> str:
    return ", ".join(f"[`{name.rpartition('.')[2]}`](#{_anchor(name)})" for name in names)


def _anchor(name: str) -> str:
    return re.sub(r"[^a-z_-]", "", name.lower())


def _entry(name: str, thing: Any, shown: dict[type, str]) -> str:
    short = name.rpartition(".")[2]
    parts = [f"### {name}\n"]
    if short in GIVEN:
        pass  # not made by applications
    else:
        kind = "class " if inspect.isclass(thing) and short != "connect" else ""
        parts.append(f"```python\n{kind}{_wrapped(name + signature(thing))}\n```\n")
    parts.append(_prose(inspect.getdoc(thing) or "") + "\n")
    made = vars(thing).get("__init__") if inspect.isclass(thing) else None
    if made is not None and made.__doc__:
        parts.append(_prose(inspect.getdoc(made) or "") + "\n")
    if short in TABLES:
        parts.append(f"[What each is, and what happens at the limit]({TABLES[short]}).\n")
    if inspect.isclass(thing):
        parts.extend(_members(thing, name, shown))
    parts.append(f"```python\n{EXAMPLES[name].strip()}\n```\n")
    return "\n".join(parts)


def _members(cls: type, name: str, shown: dict[type, str]) -> list[str]:
    own: list[Member] = []
    elsewhere: dict[str, list[str]] = {}
    tabled = getattr(cls, "__dataclass_fields__", {}) if cls.__name__ in TABLES else {}
    for member in members(cls):
        if member.name in tabled:
            continue
        where = shown.get(member.owner, name)
        if where == name:
            own.append(member)
        else:
            elsewhere.setdefault(where, []).append(member.name)
    parts = []
    for where, names in elsewhere.items():
        listed = ", ".join(f"`{each}`" for each in names)
        parts.append(f"As at [`{where.rpartition('.')[2]}`](#{_anchor(where)}): {listed}.\n")
    if own:
        parts.append("\n".join(f"- `{member.declaration}`{_behind(member.doc)}" for member in own) + "\n")
    for owner in cls.__mro__:
        shown.setdefault(owner, name)
    return parts


def _behind(doc: str) -> str:
    return "" if not doc else "\n" + "\n".join(f"  {line}".rstrip() for line in _prose(doc).splitlines())


def _prose(doc: str) -> str:
    """A docstring as Markdown: what stands further in is code, and a page beside this one a link."""
    doc = re.sub(r"\bdocs/([a-z-]+)\.md", r"[\1](\1.md)", doc)
    paragraphs = []
    for paragraph in doc.split("\n\n"):
        if paragraph.startswith("    "):
            code = inspect.cleandoc("\n" + paragraph)
            paragraphs.append(f"```text\n{code}\n```")
        else:
            paragraphs.append(paragraph)
    return "\n\n".join(paragraphs)


def _wrapped(declaration: str) -> str:
    """One parameter a line, where one line is too short for all."""
    if len(declaration) <= WIDTH:
        return declaration
    head, _, rest = declaration.partition("(")
    body, _, result = rest.rpartition(")")
    parameters, depth, start = [], 0, 0
    for place, sign in enumerate(body):
        depth += (sign in "([{") - (sign in ")]}")
        if sign == "," and not depth:
            parameters.append(body[start:place].strip())
            start = place + 1
    parameters.append(body[start:].strip())
    return head + "(\n" + "".join(f"    {each},\n" for each in parameters) + ")" + result
