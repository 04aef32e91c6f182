"""Holds the line of docs/architecture.md: who may import whom, read from the sources with `ast`.

Every import counts: those under `if TYPE_CHECKING` and inside functions too.

    web  client  cluster  metrics  testing  demo  cli      may know aiohttp
    webtransport  quic                               may know aioquic
    gates                                            may know asyncio
    server  sessions  hub  brokers  …                may know asyncio
    base_session  listener  runtime  clock  …        may know asyncio: both ends of a session
    ---------------------------------------------------- pure below
    protocols -> transports -> core
"""

from __future__ import annotations

import ast
import functools
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = "realtime"

# All that pure modules need of the standard library: nothing that does I/O, keeps time, draws lots or logs.
PURE = {
    "__future__",
    "abc",
    "base64",
    "binascii",
    "bisect",
    "collections",
    "dataclasses",
    "difflib",
    "enum",
    "ipaddress",
    "functools",
    "hashlib",
    "heapq",
    "hmac",
    "itertools",
    "json",
    "math",
    "operator",
    "re",
    "string",
    "struct",
    "typing",
}
# Modules loaded by name would escape this test. These two load none of ours, and this one of ours only what is the
# user's.
BY_NAME = {"importlib", "runpy", "pkgutil"}
HARMLESS = ("importlib.metadata", "importlib.resources")
LOADER = "realtime.cli.application"

CORE = {"core"}
TRANSPORTS = CORE | {"transports"}
PROTOCOLS = TRANSPORTS | {"protocols"}
# What runs a session, at either end.
BOTH_ENDS = PROTOCOLS | {"base_session", "clock", "events", "groups", "listener", "loops", "pace", "runtime", "waiters"}
SERVERS = {
    "admission",
    "broadcasts",
    "collector",
    "departures",
    "durable",
    "endpoint",
    "handlers",
    "hub",
    "identities",
    "namespaces",
    "networks",
    "notices",
    "observing",
    "owners",
    "request",
    "server",
    "service",
    "session",
    "sessions",
    "stomp",
}
MIDDLE = BOTH_ENDS | SERVERS | {"brokers"}
CLIENT = BOTH_ENDS | {"client", "quic"}
GATES = MIDDLE | {"gates"}
WEB = GATES | {"web", "webtransport"}
ALL = WEB | CLIENT | {"cluster", "metrics", "testing", "typescript"}

ASYNC_LIBRARIES = {"multidict", "redis"}
HTTP_LIBRARIES = {"aiohttp", "multidict", "yarl"}
QUIC_LIBRARIES = {"aioquic", "cryptography", "pylsqpack"}

# layer -> (layers of ours it may import, third-party libraries, whether only PURE of the standard library)
LAYERS: dict[str, tuple[set[str], set[str], bool]] = {
    "core": (CORE, set(), True),
    "transports": (TRANSPORTS, set(), True),
    "protocols": (PROTOCOLS, set(), True),
    "brokers": (MIDDLE, ASYNC_LIBRARIES, False),
    **dict.fromkeys(BOTH_ENDS - PROTOCOLS, (BOTH_ENDS, ASYNC_LIBRARIES, False)),
    **dict.fromkeys(SERVERS, (MIDDLE, ASYNC_LIBRARIES, False)),
    "gates": (GATES, ASYNC_LIBRARIES, False),
    "client": (CLIENT, HTTP_LIBRARIES, False),
    "web": (WEB, HTTP_LIBRARIES, False),
    "cluster": (WEB | {"cluster"}, HTTP_LIBRARIES | ASYNC_LIBRARIES, False),
    "quic": ({"quic"}, QUIC_LIBRARIES, False),
    "webtransport": (WEB | {"quic"}, QUIC_LIBRARIES, False),
    "metrics": (WEB | {"metrics"}, HTTP_LIBRARIES | {"prometheus_client"}, False),
    "typescript": (MIDDLE | {"typescript"}, set(), False),
    "testing": (ALL - {"typescript"}, HTTP_LIBRARIES | {"cryptography"}, False),
    "demo": (ALL - {"typescript"} | {"", "demo"}, HTTP_LIBRARIES, False),
    "namesake": (set(), set(), False),
    "cli": (ALL | {"", "cli", "demo", "namesake"}, HTTP_LIBRARIES | {"uvloop"}, False),
    "__main__": (ALL | {"", "cli", "demo", "namesake"}, HTTP_LIBRARIES | {"uvloop"}, False),
    "": (
        ALL - {"metrics", "testing", "typescript"} | {"namesake"},
        set(),
        False,
    ),  # the package itself: the public names and nothing else
}


@functools.cache
def imports(module: str, source: str, *, package: bool = False) -> tuple[tuple[int, str], ...]:
    """The absolute names that `source` imports, each with its line. `package`: it is an __init__.py."""
    return tuple(_imports(module, source, package))


def _imports(module: str, source: str, package: bool) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".")
                up = node.level - 1 if package else node.level
                parts = parts[: len(parts) - up]
                base = ".".join([*parts, base] if base else parts)
            for alias in node.names:
                yield node.lineno, f"{base}.{alias.name}"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "__import__":
            yield node.lineno, "importlib"


def layer_of(name: str) -> str:
    """The layer of an absolute name of ours; "" for what the package itself offers."""
    _, _, rest = name.partition(".")
    first = rest.partition(".")[0]
    return first if first in LAYERS else ""


def violations(module: str, source: str, *, package: bool = False) -> list[str]:
    """What `source` imports against the rules, a sentence each."""
    first = [*module.split("."), ""][1]
    if first not in LAYERS:
        return [f"{module}: no rule for {first!r}; give it a place in LAYERS"]
    ours, libraries, pure = LAYERS[first]
    wrong = []
    for line, name in imports(module, source, package=package):
        top = name.partition(".")[0]
        if top == PACKAGE:
            layer = layer_of(name)
            if layer not in ours:
                wrong.append(f"{module}:{line}: {first or 'the package'} must not import {name}")
        elif top in BY_NAME and not name.startswith(HARMLESS) and module != LOADER:
            wrong.append(f"{module}:{line}: imports by name ({top}) escape this test")
        elif top in sys.stdlib_module_names:
            if pure and top not in PURE:
                wrong.append(f"{module}:{line}: {first} is pure and must not import {name}")
        elif top not in libraries:
            wrong.append(f"{module}:{line}: {first or 'the package'} must not import {name}")
    return wrong


def modules() -> list[tuple[str, Path]]:
    """Every module of the package, by name."""
    found = []
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found.append((".".join(parts[:-1] if parts[-1] == "__init__" else parts), path))
    return found


MODULES = modules()


def test_the_line_holds() -> None:
    wrong: list[str] = []
    for module, path in MODULES:
        wrong += violations(module, path.read_text("utf-8"), package=path.name == "__init__.py")
    assert wrong == []


def test_there_is_something_to_read() -> None:
    names = {module for module, _ in MODULES}
    assert {"realtime", "realtime.core.machine", "realtime.protocols.native", "realtime.web.native"} <= names


# -- circles ---------------------------------------------------------------------------------------------------------


def circles(graph: dict[str, set[str]]) -> set[str]:
    """The modules that import themselves, by way of others."""
    found = set()
    for module in graph:
        reached, ahead = set(), list(graph[module])
        while ahead:
            name = ahead.pop()
            if name not in reached:
                reached.add(name)
                ahead += graph[name]
        if module in reached:
            found.add(module)
    return found


def whole_graph() -> dict[str, set[str]]:
    """Which modules import which others. What is imported from a package's __init__.py is imported from that."""
    known = dict(MODULES)
    graph: dict[str, set[str]] = {}
    for module, path in MODULES:
        graph[module] = set()
        for _, name in imports(module, path.read_text("utf-8"), package=path.name == "__init__.py"):
            while name and name not in known:
                name = name.rpartition(".")[0]
            if name and name != module:
                graph[module].add(name)
    return graph


def test_nothing_in_the_package_imports_itself_by_way_of_others() -> None:
    graph = whole_graph()
    assert "realtime.client.drivers.streams" in graph["realtime.client.drivers"]
    assert circles(graph) == set()


def hidden_imports(source: str) -> list[int]:
    """The lines of imports inside functions."""
    functions = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    inside = {n.lineno for f in functions for n in ast.walk(f) if isinstance(n, ast.Import | ast.ImportFrom)}
    return sorted(inside)


def test_the_client_hides_no_import_in_a_function() -> None:
    """Where a circle would stay unseen until it is run."""
    assert hidden_imports(
        "import a\ndef f():\n    def g():\n        from . import b\nasync def h():\n    import c"
    ) == [4, 6]
    mine = [(name, path) for name, path in MODULES if f"{name}.".startswith("realtime.client.")]
    assert {name: lines for name, path in mine if (lines := hidden_imports(path.read_text("utf-8")))} == {}


def test_a_circle_is_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == {"b", "c"}
    assert "realtime.core.machine" in whole_graph()["realtime.core.observer"]


# -- the checker checked ---------------------------------------------------------------------------------------------


def test_a_violation_is_found() -> None:
    for module, source in (
        ("realtime.core.x", "import asyncio"),
        ("realtime.core.x", "import aiohttp"),
        ("realtime.core.x", "import time"),
        ("realtime.core.x", "from time import monotonic"),
        ("realtime.core.x", "import json, random"),
        ("realtime.core.x", "import secrets as s"),
        ("realtime.core.x", "import logging"),
        ("realtime.core.x", "import socket, threading"),
        ("realtime.core.x", "import concurrent.futures"),
        ("realtime.core.x", "import urllib.request"),
        ("realtime.core.x", "def f():\n    import os"),
        ("realtime.core.x", "if TYPE_CHECKING:\n    from aiohttp import web"),
        ("realtime.core.x", "try:\n    import uvloop\nexcept ImportError:\n    pass"),
        ("realtime.core.x", "import importlib"),
        ("realtime.core.x", "from importlib import resources"),
        ("realtime.web.x", "from importlib import import_module"),
        ("realtime.cli.x", "import importlib"),
        ("realtime.typescript.x", "from ..web.plugin import SERVERS"),
        ("realtime.namespaces.x", "from ..typescript.forms import Forms"),
        ("realtime.core.x", "__import__('asyncio')"),
        ("realtime.core.x", "from ..transports import Frame"),
        ("realtime.core.x", "from .. import transports"),
        ("realtime.core.x", "from ..transports.base import Frame"),
        ("realtime.core.x", "from realtime.protocols import native"),
        ("realtime.core.x", "import realtime.session"),
        ("realtime.core.x", "from .. import Session"),
        ("realtime.core.x", "import realtime"),
        ("realtime.core.x", "from ... import anything"),
        ("realtime.transports.x", "from ..protocols.native import Open"),
        ("realtime.transports.x", "import select"),
        ("realtime.protocols.x", "from ..session import Session"),
        ("realtime.protocols.layers.x", "from ...hub import Room"),
        ("realtime.protocols.layers.x", "import asyncio"),
        ("realtime.session", "import aiohttp"),
        ("realtime.session", "from aiohttp import web"),
        ("realtime.session", "from .web import plugin"),
        ("realtime.server", "from .client import connect"),
        ("realtime.server", "from .cluster import x"),
        ("realtime.hub", "from .testing import VirtualClock"),
        ("realtime.runtime", "from .server import Server"),
        ("realtime.base_session", "from .session import Session"),
        ("realtime.clock", "from .cli import main"),
        ("realtime.brokers.redis", "from ..web.native import NativeRoutes"),
        ("realtime.brokers.redis", "def f():\n    import aiohttp"),
        ("realtime.session", "from . import Server"),
        ("realtime.server", "from .gates.native import NativeGate"),
        ("realtime.session", "from .gates import base"),
        ("realtime.gates.x", "import aiohttp"),
        ("realtime.gates.x", "from aiohttp import web"),
        ("realtime.gates.x", "from yarl import URL"),
        ("realtime.gates.x", "from ..web.links import WebSocketLink"),
        ("realtime.gates.x", "from ..client import connect"),
        ("realtime.client.x", "from ..gates.base import Connection"),
        ("realtime.client.x", "from ..server import Server"),
        ("realtime.client.x", "from ..sessions import Sessions"),
        ("realtime.client.x", "from ..web import native"),
        ("realtime.client.x", "from .. import web"),
        ("realtime.client.x", "import requests"),
        ("realtime.web.x", "from ..client import connect"),
        ("realtime.web.x", "from realtime.client.session import ClientSession"),
        ("realtime.web.x", "from ..testing import FaultProxy"),
        ("realtime.cluster.x", "from ..client import connect"),
        ("realtime.testing.x", "from ..cli import main"),
        ("realtime.testing.x", "from ..demo import Demo"),
        ("realtime.demo.x", "from ..cli import main"),
        ("realtime.server", "from .metrics import Metrics"),
        ("realtime.metrics.x", "from ..client import connect"),
        ("realtime", "from .metrics import Metrics"),
        ("realtime.novelty", "import json"),
    ):
        assert violations(module, source), (module, source)


def test_what_is_allowed_is_not_found() -> None:
    for module, source in (
        ("realtime.core.x", "from __future__ import annotations\nimport json\nfrom collections.abc import Mapping"),
        ("realtime.core.x", "from .frames import Outgoing\nfrom . import errors\nfrom realtime.core import config"),
        ("realtime.transports.x", "from ..core.carrier import Part\nfrom .base import Frame"),
        ("realtime.protocols.native", "from ..core.errors import Refusal\nfrom ..transports import Frame"),
        (
            "realtime.session",
            "import asyncio, logging\nif TYPE_CHECKING:\n    from .hub import Hub\nfrom .runtime import Runtime",
        ),
        ("realtime.brokers.redis", "def f():\n    import redis.asyncio"),
        ("realtime.client.x", "import aiohttp\nfrom yarl import URL\nfrom ..base_session import BaseSession"),
        ("realtime.gates.x", "import asyncio\nfrom ..server import Server\nfrom ..protocols.raw import CODEC"),
        ("realtime.web.x", "from aiohttp import web\nfrom ..server import Server\nfrom ..gates.plain import PlainGate"),
        ("realtime.testing.x", "import aiohttp\nfrom ..clock import Clock\nfrom ..client import connect"),
        ("realtime.cli.x", "import realtime\nfrom .. import Server\nfrom ..testing import FaultProxy"),
        ("realtime.cli.x", "from importlib import metadata, resources\nimport importlib.resources"),
        ("realtime.__main__", "from .cli import main"),
        ("realtime", "from .server import Server\nfrom .web.plugin import setup"),
    ):
        assert violations(module, source, package=module == "realtime") == []


def test_relative_imports_of_a_package_start_in_it() -> None:
    source = "from .base import Frame\nfrom ..core import errors"
    assert [name for _, name in imports("realtime.transports", source, package=True)] == [
        "realtime.transports.base.Frame",
        "realtime.core.errors",
    ]


def test_a_violation_says_where() -> None:
    assert violations("realtime.core.x", "\n\nimport time") == [
        "realtime.core.x:3: core is pure and must not import time"
    ]
