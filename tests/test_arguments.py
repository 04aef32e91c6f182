"""What the methods of applications' objects are given wrongly: each says which argument it is and what it takes, where
it is called, and nothing is harmed by it. (Settings: tests/test_settings.py.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from inspect import isawaitable
from typing import Any

import pytest
from aiohttp import web

import realtime
from realtime.testing import Clients

from .patience import PATIENCE

Use = Callable[[Any], object]

NO_ROOM = "a room is known by a str, not "
SKIP = r"skip=5: takes a session or its id, or several of them"
CODE = "code='1000': takes a whole number, not str"
REASON = "reason=None: takes text, not None"
NAMED = r"takes the name of an event: {}\(\"message\"\) \(it has to be called\)"
NAMESPACE = "a namespace is known by a str, not "
EVENT = "an event has a name, not "

ROOMS: list[tuple[Use, str]] = [
    (lambda rt: rt.room(5), NO_ROOM + "int"),
    (lambda rt: rt.room(b"lobby"), NO_ROOM + "bytes"),
    (lambda rt: rt.room("lobby").send("x", skip=5), SKIP),
    (lambda rt: rt.room("lobby").send("x", skip=None), "skip=None: takes"),
    (lambda rt: rt.room("kept").send("x", skip=["a", 5]), r"skip=\['a', 5\]: takes"),
    (lambda rt: rt.room("kept").history("5"), "limit='5': takes a whole number of at least 1, not str"),
    (lambda rt: rt.room("kept").history(2.5), "limit=2.5: takes a whole number"),
    (lambda rt: rt.room("kept").history(after=""), "this is no cursor"),
    (lambda rt: rt.room("kept").history(after=5), "a cursor is a str"),
    (lambda rt: rt.identity("ada").send("x", skip=5), SKIP),
    (lambda rt: rt.identity("ada").close("1000"), CODE),
    (lambda rt: rt.identity("ada").close(3000, None), REASON),
    (lambda rt: rt.identity("ada").close(3000, b"x"), "reason=b'x': takes text, not bytes"),
    (lambda rt: rt.close_identity("ada", "1000"), CODE),
    (lambda rt: rt.drain(timeout="5"), "timeout='5': takes a number of seconds of at least 0 and finite, not str"),
    (lambda rt: rt.drain(timeout=-1), "timeout=-1: takes a number of seconds of at least 0"),
    (lambda rt: rt.drain(delay="soon"), "delay='soon': takes a number of seconds"),
    (lambda rt: rt.observe(None), "observer=None: takes an object that has all methods of an observer"),
    (lambda rt: rt.observe(type("Mine", (), {"opened": print})()), "observer=<.*: takes an object that has all"),
    (lambda rt: realtime.readiness(None), r"readiness\(rt\) takes a realtime.Server\(\), not None"),  # type: ignore[arg-type]
    (lambda rt: realtime.client_url("/x"), "found from an aiohttp.web.Request or Application, not '/x'"),  # type: ignore[arg-type]
    (lambda rt: realtime.get_server(web.Application(), prefix=["/x"]), r"prefix=\['/x'\]: takes a path"),  # type: ignore[arg-type]
]

SESSIONS: list[tuple[Use, str]] = [
    (lambda session: session.join(5), NO_ROOM + "int"),
    (lambda session: session.join("kept", history="5"), "history='5': takes a whole number of at least 0, not str"),
    (lambda session: session.join("kept", history=-1), "history=-1: takes a whole number of at least 0"),
    (lambda session: session.join("kept", after=5), "a cursor is a str"),
    (lambda session: session.join("present", info="ada"), "info is a dict, not str"),
    (lambda session: session.join("present", info={"a": object()}), "info: takes what JSON has: .* object"),
    (lambda session: session.join("present", info={"a": float("inf")}), "info: takes what JSON has: "),
    (lambda session: session.leave(None), NO_ROOM + "NoneType"),
    (lambda session: session.publish(5, "x"), NO_ROOM + "int"),
    (lambda session: session.publish("\0closings", "x"), "a room's name does not begin with a NUL"),
    (lambda session: session.on_change("state"), "callback='state': takes a function"),
    (lambda session: session.close("1000"), CODE),
    (lambda session: session.close(3000, None), REASON),
    (lambda session: session.close(3000, ValueError("x")), r"reason=ValueError\('x'\): takes text"),
]

CLIENTS: list[tuple[Use, str]] = [
    (lambda session: session.close("1000"), CODE),
    (lambda session: session.close(3000, 5), "reason=5: takes text, not int"),
    (lambda session: session.on_change(None), "callback=None: takes a function"),
    (lambda session: session.reauthorize(b"x"), "auth: takes what JSON has: .* bytes"),
    (lambda session: session.reauthorize(float("nan")), "auth: takes what JSON has: "),
    (lambda session: session.reauthorize("\ud800"), "auth: takes what JSON has: .* surrogates"),
    (lambda session: session.events(5), NAMESPACE + "int"),
    (lambda session: session.events("admin"), 'a namespace is "/" or "/admin"'),
    (lambda session: realtime.connect(5), "url=5: takes an endpoint's URL"),  # type: ignore[arg-type]
    (lambda session: realtime.connect("http://x/y", auth=object()), "auth: takes what JSON has: .* object"),
    (lambda session: realtime.connect("http://x/y", auth="\ud800"), "auth: takes what JSON has: .* surrogates"),
    (lambda session: realtime.connect("http://x/y", auth=lambda: b"x"), "auth: takes what JSON has: .* bytes"),
]

EVENTS: list[tuple[Use, str]] = [
    (lambda chat: chat.on(print), NAMED.format("on")),
    (lambda chat: chat.on(5), r"takes the name of an event: on\(\"message\"\), not int"),
    (lambda chat: chat.off([]), r"takes the name of an event: off\(\"message\"\), not list"),
    (lambda chat: chat.emit(None), EVENT + "NoneType"),
    (lambda chat: chat.call(["message"]), EVENT + "list"),
    (lambda chat: chat.call("message", timeout="5"), "timeout='5': takes a number of seconds"),
    (lambda chat: chat.call("message", timeout=-1), "timeout=-1: takes a number of seconds"),
]

NAMESPACES: list[tuple[Use, str]] = [
    (lambda events: events.on(print), NAMED.format("on")),
    (lambda events: events.emits(print), NAMED.format("emits")),
    (lambda events: events.named(None), NAMESPACE + "NoneType"),
    (lambda events: events.room(5), NO_ROOM + "int"),
    (lambda events: events.emit("message", skip=5), SKIP),
    (lambda events: events.room("lobby").emit(5), EVENT + "int"),
]

OTHERS: list[tuple[Use, str]] = [
    (lambda _: realtime.Unauthorized(ValueError("x")), r"reason=ValueError\('x'\): takes text, not V"),  # type: ignore[arg-type]
    (lambda _: realtime.Refusal(4401, None), "reason=None: takes text"),  # type: ignore[arg-type]
    (lambda _: realtime.EventError(KeyError("x")), r"message=KeyError\('x'\): takes text, not KeyError"),  # type: ignore[arg-type]
    (lambda _: realtime.EventError("x", code=404), "code=404: takes text, not int"),  # type: ignore[arg-type]
    (lambda _: realtime.Publisher(None), 'broker=None: takes a URL such as "redis://localhost"'),  # type: ignore[arg-type]
    (lambda _: realtime.BlockingPublisher(5), "broker=5: takes a URL"),  # type: ignore[arg-type]
    (lambda _: realtime.STOMP().on(print), 'a destination is a str, such as "/topic/news", not '),  # type: ignore[arg-type]
]


async def refused(uses: list[tuple[Use, str]], of: object) -> None:
    """Each use raises, and says that."""
    for use, said in uses:
        with pytest.raises((TypeError, realtime.LocalProtocolError), match=said):
            made = use(of)
            if isawaitable(made) or isinstance(made, realtime.connect):
                await made


@pytest.fixture
def rt() -> realtime.Server:
    rt = realtime.Server(broker=realtime.MemoryBroker())
    rt.configure_rooms("kept", history=10)
    rt.configure_rooms("present", presence=True)
    return rt


async def test_of_servers_and_rooms(rt: realtime.Server, realtime_client: Clients) -> None:
    got: list[str | bytes] = []

    @rt.endpoint("/chat")
    async def chat(session: realtime.Session) -> None:
        await session.join("lobby")
        await session.send("in")
        async for message in session:
            got.append(message)

    app = web.Application()
    realtime.setup(app, rt)
    session = await realtime_client(app, "/realtime/chat")
    assert await session.receive() == "in"
    await refused(ROOMS, rt)
    await rt.room("lobby").send("still here", skip=())
    assert await session.receive() == "still here"


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("transport", ["websocket", "polling"])
async def test_of_sessions(rt: realtime.Server, realtime_client: Clients, transport: str, durable: bool) -> None:
    failed: asyncio.Queue[BaseException | None] = asyncio.Queue()

    @rt.endpoint("/chat", durable=durable)
    async def chat(session: realtime.Session) -> None:
        async for message in session:
            try:
                await refused(SESSIONS, session)
                failed.put_nowait(None)
            except BaseException as error:
                failed.put_nowait(error)
                raise
            await session.send(message)

    app = web.Application()
    realtime.setup(app, rt)
    session = await realtime_client(app, "/realtime/chat", transports=[transport])
    await session.send("x")
    async with asyncio.timeout(PATIENCE):
        error = await failed.get()
        if error is not None:
            raise error
        assert await session.receive() == "x"
        await session.close()


async def test_of_clients(rt: realtime.Server, realtime_client: Clients) -> None:
    @rt.endpoint("/chat")
    async def chat(session: realtime.Session) -> None:
        async for message in session:
            await session.send(message)

    app = web.Application()
    realtime.setup(app, rt)
    session = await realtime_client(app, "/realtime/chat")
    await refused(CLIENTS[:6], session)
    await session.send("x")
    assert await session.receive() == "x"
    await refused(CLIENTS[6:], session)
    assert not session.closed


async def test_of_events(rt: realtime.Server, realtime_client: Clients) -> None:
    events = realtime.Events()

    @events.on("message")
    async def message(session: realtime.EventSession, text: str) -> str:
        await refused([(use, said) for use, said in EVENTS if "takes the name" not in said], session)
        return text

    rt.endpoint("/chat")(events)
    app = web.Application()
    realtime.setup(app, rt)
    session = await realtime_client(app, "/realtime/chat")
    chat = session.events()
    await chat.ready()
    await refused(EVENTS, chat)
    await refused(NAMESPACES, events)
    assert await chat.call("message", "still here", timeout=PATIENCE) == "still here"


async def test_of_what_is_made_and_raised() -> None:
    await refused(OTHERS, None)


async def test_a_reason_that_is_an_exception_is_an_error_of_the_hook(
    realtime_client: Clients, caplog: pytest.LogCaptureFixture
) -> None:
    """The client is told to come later, by an answer of the protocol; the log says what is wrong."""
    rt = realtime.Server()

    @rt.endpoint("/chat")
    async def chat(session: realtime.Session) -> None: ...

    @rt.authorize
    async def asked(request: realtime.SessionRequest) -> str | None:
        try:
            return dict[str, str]()["token"]
        except KeyError as error:
            raise realtime.Unauthorized(error) from None  # type: ignore[arg-type]

    app = web.Application()
    realtime.setup(app, rt)
    for transport in ("websocket", "polling"):
        caplog.clear()
        with pytest.raises(realtime.NegotiationError, match="refused with 4503: the server cannot authorise anybody"):
            await realtime_client(
                app,
                "/realtime/chat",
                transports=[transport],
                open_timeout=0.5,
                backoff=(60, 60),  # asked once
            )
        assert [str(record.exc_info[1]) for record in caplog.records if record.exc_info] == [
            "reason=KeyError('token'): takes text, not KeyError: str() makes it of an exception"
        ]
