"""Sessions over WebTransport: opened, attached, moved, refused, and ended, over real sockets."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

import realtime

from ..cli.program import run
from ..patience import arrives, eventually, within
from .place import OPEN, place


def echoing(**settings: object) -> realtime.Server:
    rt = realtime.Server(**{"open_timeout": 60.0, **settings})  # type: ignore[arg-type] # of any kind

    @rt.endpoint("/echo")
    async def echo(session: realtime.Session) -> None:
        async for message in session:
            await session.send(message)

    return rt


async def test_text_and_binary_both_ways_and_a_clean_close() -> None:
    rt = echoing()
    async with place(rt) as there, within():
        async with realtime.connect(there.url / "echo", transports="webtransport") as session:
            assert session.transport == "webtransport"
            for message in ("hello", b"\x00\xff", "", b"", "é 世界 \U0001f600", "x" * 300_000, b"y" * 100_000):
                await session.send(message)
                assert await session.receive() == message
        assert (session.close_code, session.close_reason) == (1000, "")
        await eventually(lambda: not len(rt))


async def test_many_both_ways_at_once_keep_their_order() -> None:
    async with (
        place(echoing()) as there,
        within(),
        realtime.connect(there.url / "echo", transports="webtransport") as session,
    ):

        async def send() -> None:
            for number in range(3000):
                await session.send(f"{number}" + "x" * (number % 100))

        sending = asyncio.create_task(send())
        for number in range(3000):
            assert await session.receive() == f"{number}" + "x" * (number % 100)
        await sending


async def test_what_the_application_sees_of_it() -> None:
    seen: list[realtime.SessionRequest] = []
    rt = realtime.Server()

    @rt.authorize
    async def authorize(request: realtime.SessionRequest) -> str:
        seen.append(request)
        return str(request.auth)

    identities: list[object] = []

    @rt.endpoint("/echo")
    async def echo(session: realtime.Session) -> None:
        identities.append(session.identity)
        await session.send("hello")

    async with place(rt) as there, within():
        url = (there.url / "echo").with_query(room="7")
        async with realtime.connect(
            url, transports="webtransport", auth="ada", headers={"X-Of-Mine": "yes"}
        ) as session:
            assert await session.receive() == "hello"
    (request,) = seen
    assert (request.method, request.transport, request.http_version, request.scheme) == (
        "CONNECT",
        "webtransport",
        (3, 0),
        "https",
    )
    assert request.path == "/realtime/echo/v1/webtransport"
    assert request.query["room"] == "7"
    assert request.headers["x-of-mine"] == "yes"
    assert request.remote == "127.0.0.1"
    assert identities == ["ada"]


async def test_who_is_refused_is_told_why() -> None:
    rt = realtime.Server()

    @rt.authorize
    async def authorize(request: realtime.SessionRequest) -> str:
        raise realtime.Unauthorized("not you", status=403)

    @rt.endpoint("/echo")
    async def echo(session: realtime.Session) -> None:
        """Never."""

    async with place(rt) as there, within():
        with pytest.raises(realtime.NegotiationError, match="not you"):
            await realtime.connect(there.url / "echo", transports="webtransport")


async def test_a_session_moves_to_it_and_away_from_it(unhurried: Any) -> None:
    async with place(echoing()) as there, within():
        transports = ["websocket", "webtransport", "polling"]
        async with realtime.connect(there.url / "echo", transports=transports, upgrade=False, **unhurried) as session:
            await session.send("one")
            assert await session.receive() == "one"
            for name in ("webtransport", "polling", "webtransport", "websocket", "webtransport"):
                await session.switch(name)
                await session.send(name)
                assert await session.receive() == name
                assert session.transport == name


async def test_a_session_that_wants_it_most_moves_up_to_it() -> None:
    """It is opened by whatever answers first, and what is wanted most is probed beside that."""
    async with place(echoing()) as there, within():
        transports = ["webtransport", "polling"]
        options = {"race_delay": 0.0, "upgrade_interval": (0.05, 0.1)}
        async with realtime.connect(there.url / "echo", transports=transports, **options) as session:  # type: ignore[arg-type]
            for number in range(20):
                await session.send(str(number))
            for number in range(20):
                assert await session.receive() == str(number)
            await eventually(lambda: session.transport == "webtransport")
            await session.send("up")
            assert await session.receive() == "up"


async def test_frames_that_come_with_the_open_count() -> None:
    async with place(echoing()) as there, there.raw() as raw:
        raw.send("p1", OPEN, "a0,0", "mone", b"two", "mthree")
        assert await raw.receive() == "q1"
        assert (await raw.until("o"))[:8] == 'o{"sid":'
        assert await raw.until("m") == "mone"
        assert await raw.receive() == b"two"
        assert await raw.until("m") == "mthree"


async def test_a_client_that_ends_its_side_has_left() -> None:
    rt = echoing(resume_window=0.001)
    async with place(rt) as there:
        async with there.raw() as raw:
            raw.send(OPEN)
            await raw.until("o")
            assert len(rt) == 1
            await raw.channel.finish(30.0)
        await eventually(lambda: not len(rt))


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/realtime/nowhere/v1/webtransport", "x4406,carrier,,there is no endpoint at /realtime/nowhere"),
        ("/realtime/echo/v2/webtransport", "x4406,carrier,,protocol version 2"),
        ("/realtime/echo/v1/websocket", "x4406,carrier,,WebTransport is at <endpoint>/v1/webtransport"),
        ("/echo/v1/webtransport", "x4406,carrier,,there is no endpoint at /echo"),
        ("/realtime/without/v1/webtransport", "x4406,carrier,,webtransport is not in this endpoint's transports"),
    ],
)
async def test_what_is_not_there_is_said_on_the_stream(path: str, says: str) -> None:
    rt = echoing()

    @rt.endpoint("/without", transports=("websocket",))
    async def without(session: realtime.Session) -> None:
        """Never."""

    async with place(rt) as there, there.raw(path) as raw:
        raw.send(OPEN)
        frame = await raw.receive()
        assert isinstance(frame, str)
        assert frame.startswith(says)
        assert await raw.receive() is None


@pytest.mark.parametrize("first", ["mhello", "a0", b"\x00", "u1,0,0,1,x", "r,", "o{}"])
async def test_what_cannot_begin_is_refused(first: str | bytes) -> None:
    async with place(echoing()) as there, there.raw() as raw:
        raw.send(first, OPEN) if first == "a0" else raw.send(first)
        frame = await raw.receive()
        assert isinstance(frame, str)
        assert frame.startswith('o{"sid"' if first == "a0" else "x4400,carrier,")


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://127.0.0.1:1234", None),
        ("https://127.0.0.1", None),
        ("https://friend.example", None),
        ("https://evil.example", "403"),
        ("https://127.0.0.1.evil.example", "403"),
        ("null", "403"),
        ("https://[", "403"),
    ],
)
async def test_whose_page_may_connect(origin: str, status: str | None) -> None:
    rt = echoing(allowed_origins=("https://friend.example",))
    async with place(rt) as there:
        if status is None:
            async with there.raw(headers={"Origin": origin}) as raw:
                raw.send(OPEN)
                assert await raw.until("o")
        else:
            with pytest.raises(ConnectionError, match=status):
                async with there.raw(headers={"Origin": origin}):
                    """Never."""


async def test_a_page_that_opens_by_http_and_by_webtransport_is_one_page() -> None:
    """So a race of both finds one session, whatever the ports are."""
    async with (
        place(echoing()) as there,
        aiohttp.ClientSession() as http,
        there.raw(headers={"Origin": str(there.url.origin())}) as raw,
    ):
        url = there.url / "echo" / "v1" / "long_polling"
        async with http.post(url, json=[OPEN], headers={"Origin": str(there.url.origin())}) as answer:
            (opened, *_) = await answer.json(content_type=None)
        raw.send(OPEN.replace('"gen":1', '"gen":2'))
        assert (await raw.until("o")).split('"')[3] == opened.split('"')[3]


async def test_sessions_end_with_the_application_and_so_does_the_port() -> None:
    rt = echoing()
    async with place(rt) as there:
        session = await realtime.connect(there.url / "echo", transports="webtransport")
        silent = there.raw()
        raw = await silent.__aenter__()
        raw.send("p")
        assert await raw.receive() == "q"
    with pytest.raises(realtime.SessionClosed):
        await arrives(session.receive())
    assert session.close_code == 1001
    last = await raw.receive()
    assert isinstance(last, str)
    assert last.startswith("x4503,carrier")
    await session.close()
    raw.channel.close()
    assert rt._service.networks.webtransport is None


async def test_a_server_is_set_up_again_with_another_port() -> None:
    rt = echoing()
    for _ in range(2):
        async with (
            place(rt) as there,
            within(),
            realtime.connect(there.url / "echo", transports="webtransport") as session,
        ):
            await session.send("again")
            assert await session.receive() == "again"


async def test_from_the_command_line() -> None:
    async with place(echoing()) as there:
        url = str(there.url / "echo")
        arguments = "connect", "--transport", "webtransport", "--linger", 0, url
        code, out, err = await run(*arguments, given=b"hi\n", until="hi")
        assert (code, out, err) == (0, "hi\n", "realtime: connected over webtransport\n")
