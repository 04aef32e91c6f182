"""What somebody who is new here gets wrong, and the sentence that each time says what to change."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import aiohttp
import pytest
from aiohttp import web

import realtime
from realtime.testing import Clients

from .patience import arrives


class Beginner:
    """What a newcomer has: a server set up in an application that runs, with an echo at /realtime/chat."""

    def __init__(self, client: Clients) -> None:
        self.client = client
        self.app = web.Application()
        self.rt: Any = realtime.Server()  # untyped, as a newcomer's programs are
        self.rt.endpoint("/chat")(echo)
        realtime.setup(self.app, self.rt)

    async def url(self, path: str) -> str:
        return str((await self.client.server(self.app)).make_url(path))

    async def open(self, path: str = "/realtime/chat", **options: Any) -> Any:
        return await self.client(self.app, path, **{"backoff": (0.01, 0.02), **options})


async def echo(session: realtime.Session) -> None:
    async for message in session:
        await session.send(message)


def plain(session: Any) -> None: ...


async def generates(session: Any) -> Any:
    yield


async def takes_nothing() -> None: ...


async def takes_two(session: Any, database: Any) -> None: ...


class Handler:
    def __call__(self, session: Any) -> None: ...


ANYTHING = "§"


class Mistake(NamedTuple):
    """What is done, what is raised (or logged: then its level), and the sentence, with ANYTHING for what may differ."""

    name: str
    make: Callable[[Beginner], Any]
    error: type[Exception] | str
    sentence: str


async def close_and_send(beginner: Beginner) -> None:
    session = await beginner.open()
    await session.close()
    await session.send("more")


async def send_a_dict(beginner: Beginner) -> None:
    await (await beginner.open()).send({"text": "hello"})


async def send_too_much(beginner: Beginner) -> None:
    await (await beginner.open()).send("x" * 2_000_000)


async def messages_for_events(beginner: Beginner) -> None:
    beginner.rt.endpoint("/events")(realtime.Events())
    session = await beginner.open("/realtime/events")
    await session.send("hello")
    await session.receive()


async def a_token_for_auth(beginner: Beginner) -> None:
    beginner.rt.endpoint("/events")(realtime.Events())
    (await beginner.open("/realtime/events")).events(auth="secret")


async def look_at_it_with_a_browser(beginner: Beginner) -> None:
    async with aiohttp.ClientSession() as http, http.get(await beginner.url("/realtime/chat")) as answer:
        raise RuntimeError(f"{answer.status} {(await answer.text()).strip()}")


async def come_from_another_site(beginner: Beginner) -> None:
    async with aiohttp.ClientSession() as http:
        headers = {"Origin": "https://shop.example"}
        await http.post(await beginner.url("/realtime/chat/v1/polling"), headers=headers)


async def return_a_user(beginner: Beginner) -> None:
    async def authorize(request: realtime.SessionRequest) -> Any:
        return {"name": "alice"}

    beginner.rt.authorize(authorize)
    with pytest.raises(realtime.NegotiationError, match="4503"):
        await beginner.open(open_timeout=0.5, backoff=(60, 60))  # it is asked once


def enter_without_async(beginner: Beginner) -> None:
    connecting: Any = realtime.connect("http://localhost/realtime/chat")
    with connecting:
        pass


def forget_await(beginner: Beginner) -> None:
    session: Any = realtime.connect("http://localhost/realtime/chat")
    session.send("hello")


async def one_path_for_two(beginner: Beginner) -> None:
    beginner.rt.endpoint("/a", engineio="/engine.io")(echo)
    other = realtime.Server()
    other.endpoint("/b", engineio="/engine.io/")(echo)
    realtime.setup(beginner.app, other, prefix="/other")


async def engineio_too_late(beginner: Beginner) -> None:
    await beginner.open()
    beginner.rt.endpoint("/a", engineio="/engine.io")(echo)


async def setup_too_late(beginner: Beginner) -> None:
    await beginner.open()
    realtime.setup(beginner.app, realtime.Server(), prefix="/late")


def setup_behind_add_subapp(beginner: Beginner) -> None:
    sub = web.Application()
    web.Application().add_subapp("/sub", sub)
    realtime.setup(sub, realtime.Server())


anything: Any = realtime  # untyped
anything_takes_nothing: Any = takes_nothing
anything_takes_two: Any = takes_two
COROUTINE = "has to be a coroutine function, `async def"
OPENING = "connect() opens a session in `async with connect(url) as session:`, or by `session = await connect(url)`"
NO_EVENT = (
    "the session was closed with 1002 (this is no event: use realtime.Events() at the server and events() of the"
    " session at the client, or neither)"
)
NO_AUTH = "auth='secret': takes a dict, or None for none, not str"
TOO_LATE = (
    "the application takes no more routes, since it has started, or was given to add_subapp() of another one: call"
    " realtime.setup(app, rt) before"
)
ALL = "websocket, xhr_streaming, sse, long_polling, polling"
MISTAKES = [
    Mistake(
        "a handler without async",
        lambda b: b.rt.endpoint("/x")(plain),
        TypeError,
        f"the handler of '/x' {COROUTINE} plain(…)`: this one is a plain function",
    ),
    Mistake(
        "a handler with yield",
        lambda b: b.rt.endpoint("/x")(generates),
        TypeError,
        f"the handler of '/x' {COROUTINE} generates(…)`: this one is an async generator (it has a yield)",
    ),
    Mistake(
        "an object without an async call",
        lambda b: b.rt.endpoint("/x")(Handler()),
        TypeError,
        f"the handler of '/x' {COROUTINE} __call__(…)`: this one is an object of Handler, whose __call__ is a plain"
        " function",
    ),
    Mistake(
        "a class for its object",
        lambda b: b.rt.endpoint("/x")(Handler),
        TypeError,
        f"the handler of '/x' {COROUTINE} Handler(…)`: this one is a class: give an object of it, which has an async"
        " __call__",
    ),
    Mistake(
        "a hook without async",
        lambda b: b.rt.authorize(plain),
        TypeError,
        f"the authorize hook {COROUTINE} plain(…)`: this one is a plain function",
    ),
    Mistake(
        "a handler of nothing",
        lambda b: b.rt.endpoint("/x")(anything_takes_nothing),
        TypeError,
        "the handler of '/x' is given the session, and nothing else: takes_nothing() does not fit (too many positional"
        " arguments)",
    ),
    Mistake(
        "a handler of more",
        lambda b: b.rt.endpoint("/x")(anything_takes_two),
        TypeError,
        "the handler of '/x' is given the session, and nothing else: takes_two(session, database) does not fit (missing"
        " a required argument: 'database')",
    ),
    Mistake(
        "a hook of more",
        lambda b: b.rt.authorize(anything_takes_two),
        TypeError,
        "the authorize hook is given the request, and nothing else: takes_two(session, database) does not fit (missing"
        " a required argument: 'database')",
    ),
    Mistake(
        "a middleware of less",
        lambda b: realtime.Events().use(anything_takes_two),
        TypeError,
        "a middleware is given the session, the event, its arguments, what goes on, and nothing else:"
        " takes_two(session, database) does not fit (too many positional arguments)",
    ),
    Mistake(
        "a STOMP handler of nothing",
        lambda b: realtime.STOMP().on("/app/x")(anything_takes_nothing),
        TypeError,
        "the handler of '/app/x' is given the client, the message, and nothing else: takes_nothing() does not fit (too"
        " many positional arguments)",
    ),
    Mistake(
        "@rt.endpoint",
        lambda b: b.rt.endpoint(echo),
        TypeError,
        '@rt.endpoint takes the path of the endpoint: @rt.endpoint("/chat") (it has to be called)',
    ),
    Mistake(
        "@rt.authorize()",
        lambda b: b.rt.authorize(),
        TypeError,
        "@rt.authorize stands above the hook as it is, without a call: leave out the parentheses",
    ),
    Mistake(
        "a path without its slash",
        lambda b: b.rt.endpoint("chat"),
        realtime.LocalProtocolError,
        'an endpoint\'s path starts with "/", does not end with one, and has no variables: "/chat", not \'chat\'',
    ),
    Mistake(
        "no path",
        lambda b: b.rt.endpoint("/"),
        realtime.LocalProtocolError,
        'an endpoint\'s path starts with "/", does not end with one, and has no variables: "/chat", not \'/\'',
    ),
    *(
        Mistake(
            f"a path that no URL has: {path!a}",
            lambda b, path=path: b.rt.endpoint(path),  # type: ignore[misc]
            realtime.LocalProtocolError,
            f'no URL leads to an endpoint at {path!r}: a path is written as it is read, such as "/a b" and not'
            ' "/a%20b", and has no "?", "#", "%" or control characters, and no part "." or ".."',
        )
        for path in ("/a?b", "/a#b", "/a%20b", "/../b", "/a/./b", "/a/..", "/a\nb", "/\ud800")
    ),
    Mistake(
        "the same path twice",
        lambda b: b.rt.endpoint("/chat"),
        realtime.LocalProtocolError,
        "there is an endpoint at '/chat' already: give this one another path",
    ),
    Mistake(
        "an Engine.IO path twice",
        one_path_for_two,
        realtime.LocalProtocolError,
        "another server's endpoint '/a' has '/engine.io' already, for its clients of EngineIO: give this one another"
        " path",
    ),
    Mistake(
        "an Engine.IO path too late",
        engineio_too_late,
        realtime.LocalProtocolError,
        "the endpoint '/a' also serves '/engine.io', and aiohttp takes no new path once the application has started,"
        " or was given to add_subapp() of another one: register it before",
    ),
    Mistake(
        "setup(rt, app)",
        lambda b: anything.setup(b.rt, b.app),
        TypeError,
        "the application comes first, and the server second: realtime.setup(app, rt)",
    ),
    Mistake(
        "a class for a server",
        lambda b: anything.setup(b.app, realtime.Server),
        TypeError,
        "realtime.setup(app, rt) takes a realtime.Server() second, not <class 'realtime.server.Server'>",
    ),
    Mistake(
        "a prefix without its slash",
        lambda b: realtime.setup(b.app, realtime.Server(), prefix="rt"),
        realtime.LocalProtocolError,
        'a prefix is empty, or starts with "/" and does not end with one, and needs no quoting: "/realtime", not'
        " 'rt'",
    ),
    Mistake(
        "no setup()",
        lambda b: realtime.client_url(web.Application()),
        realtime.LocalProtocolError,
        "no realtime server at prefix '/realtime': call realtime.setup(app, rt, prefix='/realtime') first (that of a"
        " sub-application is found from this, and from its own requests)",
    ),
    Mistake(
        "setup() too late",
        setup_too_late,
        realtime.LocalProtocolError,
        TOO_LATE,
    ),
    Mistake(
        "setup() behind add_subapp()",
        setup_behind_add_subapp,
        realtime.LocalProtocolError,
        TOO_LATE,
    ),
    Mistake(
        "a setting misspelt",
        lambda b: anything.Server(ping_intervall=10),
        TypeError,
        "realtime.Server() has no setting 'ping_intervall'; did you mean 'ping_interval'? Its settings: §.",
    ),
    Mistake(
        "a setting of the wrong type",
        lambda b: anything.Server(ping_interval="10s"),
        TypeError,
        "ping_interval='10s': takes a number of seconds above 0 and at most 1,000,000,000, or None for no pings,"
        " not str",
    ),
    Mistake(
        "a transport misspelt",
        lambda b: realtime.Server(transports=("websockets",)),
        realtime.LocalProtocolError,
        "transports: this server has no transport 'websockets'; did you mean 'websocket'? It has §.",
    ),
    Mistake(
        "an origin without its scheme",
        lambda b: realtime.Server(allowed_origins="shop.example"),
        realtime.LocalProtocolError,
        'allowed_origins: \'shop.example\' is no origin; one looks like "https://example.org", without a path ("*"'
        ' allows any, "null" those that have none)',
    ),
    Mistake(
        "a proxy by its name",
        lambda b: realtime.Server(trusted_proxies="proxy.example"),
        realtime.LocalProtocolError,
        "trusted_proxies: 'proxy.example' does not appear to be an IPv4 or IPv6 network; it takes addresses and"
        ' networks, such as "127.0.0.1" or "10.0.0.0/8", and "unix"',
    ),
    Mistake(
        "a page of another site",
        come_from_another_site,
        "WARNING",
        "a page of 'https://shop.example' is refused, since it asks for another host, '127.0.0.1:§'. If it may connect,"
        " name it: realtime.Server(allowed_origins=['https://shop.example']). If that host is the page's own, a proxy"
        " hides it: let the proxy pass on the Host header, or X-Forwarded-Host from an address in trusted_proxies",
    ),
    Mistake(
        "a user for an identity",
        return_a_user,
        "ERROR",
        "the authorize hook raised; to refuse a client, raise realtime.Unauthorized: authorize returns an identity,"
        " such as a user's id as str, or None, not dict",
    ),
    Mistake(
        "an endpoint in a browser",
        look_at_it_with_a_browser,
        RuntimeError,
        "426 The address is right: /realtime/chat is an endpoint of realtime. It is no page: connect to it, in a page"
        " with new Realtime('/realtime/chat'), in Python with realtime.connect().",
    ),
    Mistake(
        "a URL without its scheme",
        lambda b: realtime.connect("localhost:8080/realtime/chat"),
        realtime.LocalProtocolError,
        "an endpoint's URL looks like http://host/realtime/chat, not 'localhost:8080/realtime/chat'",
    ),
    Mistake("with for async with", enter_without_async, TypeError, f"use `async with`, not `with`: {OPENING}"),
    Mistake("no await", forget_await, AttributeError, f"send is a session's, and none is open yet: {OPENING}"),
    Mistake(
        "the wrong prefix",
        lambda b: b.open("/rt/chat"),
        realtime.NegotiationError,
        f"no session at http://127.0.0.1:§/rt/chat ({ALL}: HTTP 404, and not in the protocol: is setup() called with"
        " this prefix?)",
    ),
    Mistake(
        "the wrong endpoint",
        lambda b: b.open("/realtime/chta"),
        realtime.NegotiationError,
        f"no session at http://127.0.0.1:§/realtime/chta ({ALL}: refused with 4406: there is no endpoint /chta: is that"
        " the path given to @rt.endpoint()?)",
    ),
    Mistake(
        "no server there",
        lambda b: realtime.connect("http://127.0.0.1:9/realtime/chat", backoff=(0.01, 0.02))._open(),
        realtime.NegotiationError,
        f"no session at http://127.0.0.1:9/realtime/chat ({ALL}: cannot connect to 127.0.0.1 port 9: Connection"
        " refused)",
    ),
    Mistake(
        "a dict for a message",
        send_a_dict,
        TypeError,
        "a message is str or bytes, not dict: json.dumps() makes str of most",
    ),
    Mistake("messages for events", messages_for_events, realtime.SessionClosed, NO_EVENT),
    Mistake("auth data of a namespace that are no dict", a_token_for_auth, TypeError, NO_AUTH),
    Mistake(
        "a message that is too large",
        send_too_much,
        realtime.LocalProtocolError,
        "a message of 2000000 bytes is above the server's max_size=1048576",
    ),
    Mistake("a message after the end", close_and_send, realtime.SessionClosed, "the session was closed with 1000"),
]


@pytest.mark.parametrize("mistake", MISTAKES, ids=[mistake.name for mistake in MISTAKES])
async def test_the_sentence_says_what_to_change(mistake: Mistake, caplog: pytest.LogCaptureFixture) -> None:
    expected = ".*".join(map(re.escape, mistake.sentence.split(ANYTHING)))
    async with Clients() as client:
        beginner = Beginner(client)
        raised = await failure_of(mistake, beginner)
        said: list[tuple[object, str]] = [] if raised is None else [(type(raised), str(raised))]
        for record in caplog.records:
            if record.levelname == mistake.error:
                why = f": {record.exc_info[1]}" if record.exc_info else ""
                said.append((record.levelname, record.getMessage() + why))
    ((kind, sentence),) = said
    assert kind == mistake.error
    assert re.fullmatch(expected, sentence), sentence


async def failure_of(mistake: Mistake, beginner: Beginner) -> Exception | None:
    """What is raised."""
    try:
        made = mistake.make(beginner)
        if isinstance(made, Awaitable):
            await arrives(made)
    except Exception as error:
        return error
    return None
