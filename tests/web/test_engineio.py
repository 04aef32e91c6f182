"""Engine.IO over real sockets: requests as its clients make them, and as they should not."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

import realtime
from realtime.protocols.engineio.machine import EngineMachine
from realtime.testing import VirtualClock

from .place import Place, eventually, serving

LIMIT = 30.0  # seconds, for what never takes them
SLOW = {"ping_interval": 1000, "ping_timeout": 1000}


@asynccontextmanager
async def engine(settings: dict[str, Any] | None = None, /, **options: Any) -> AsyncIterator[Engine]:
    """A place whose /engine echoes and whose /hold hands out its sessions, for Engine.IO clients."""
    rt = realtime.Server(shutdown_timeout=0.3, **(settings or {}))
    held: asyncio.Queue[realtime.Session] = asyncio.Queue()
    options = SLOW | options

    @rt.endpoint("/engine", engineio=realtime.EngineIO(path="/engine.io/", **options))
    async def echo(session: realtime.Session) -> None:
        async for message in session:
            await session.send(message)

    def prepare(place: Place) -> None:
        # After setup(), as applications may.
        @rt.endpoint("/hold", engineio=realtime.EngineIO(path="/hold", **options))
        async def hold(session: realtime.Session) -> None:
            held.put_nowait(session)
            await session.wait_closed()

    async with serving(rt, prepare=prepare) as place:
        yield Engine(place, held)


class Engine:
    """Requests to such a place."""

    def __init__(self, place: Place, held: asyncio.Queue[realtime.Session]) -> None:
        self.place = place
        self.held = held
        self.headers = {"Referer": f"{place.base}/page"}  # of a page of the server's own

    def url(self, path: str, transport: str, eio: int, **query: str) -> str:
        """Where a request goes."""
        fields = {"EIO": str(eio), "transport": transport, **query}
        return f"{self.place.base}{path}?" + "&".join(f"{name}={value}" for name, value in fields.items())

    async def get(self, sid: str = "", *, eio: int = 4, path: str = "/engine.io/", **query: str) -> tuple[int, bytes]:
        """A poll."""
        if sid:
            query["sid"] = sid
        async with asyncio.timeout(LIMIT):
            async with self.place.http.get(self.url(path, "polling", eio, **query), headers=self.headers) as answer:
                return answer.status, await answer.read()

    async def post(
        self,
        sid: str,
        body: bytes | str,
        *,
        eio: int = 4,
        path: str = "/engine.io/",
        kind: str = "text/plain",
        **query: str,
    ) -> tuple[int, bytes]:
        """A POST."""
        headers = self.headers | {"Content-Type": kind}
        async with asyncio.timeout(LIMIT):
            url = self.url(path, "polling", eio, sid=sid, **query)
            async with self.place.http.post(url, data=body, headers=headers) as answer:
                return answer.status, await answer.read()

    async def open(self, *, eio: int = 4, path: str = "/engine.io/", **query: str) -> str:
        """Opens a session; returns its sid."""
        status, body = await self.get(eio=eio, path=path, **query)
        assert status == 200, body
        return str(json.loads(body[body.index(b"{") : body.rindex(b"}") + 1])["sid"])

    async def websocket(self, sid: str = "", *, eio: int = 4, path: str = "/engine.io/", **query: str) -> Socket:
        """A WebSocket."""
        if sid:
            query["sid"] = sid
        return Socket(await self.place.http.ws_connect(self.url(path, "websocket", eio, **query), headers=self.headers))

    async def session(self) -> realtime.Session:
        """The next session at /hold."""
        async with asyncio.timeout(LIMIT):
            return await self.held.get()

    async def parked(self, session: realtime.Session) -> None:
        """Waits until a poll is parked."""
        await eventually(lambda: session._machine.carrier is not None)


class Socket:
    """A WebSocket with patience."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws

    async def send(self, packet: str | bytes) -> None:
        """Sends one packet."""
        await (self.ws.send_str(packet) if isinstance(packet, str) else self.ws.send_bytes(packet))

    async def next(self) -> Any:
        """The next packet; None for the end."""
        async with asyncio.timeout(LIMIT):
            message = await self.ws.receive()
        return message.data if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY) else None

    async def ended(self) -> None:
        """Reads to the end."""
        while await self.next() is not None:
            pass


def error(answer: tuple[int, bytes]) -> tuple[int, int]:
    """Status and code of an error."""
    told = json.loads(answer[1])
    assert set(told) == {"code", "message"}
    return answer[0], told["code"]


GONE = (400, 1)


# -- handshakes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "most"),
    [({}, 16), ({"User-Agent": "node-XMLHttpRequest"}, 100), ({"Sec-Fetch-Mode": "cors"}, 100)],
    ids=["unknown", "Node", "a browser"],
)
async def test_javascript_is_answered_with_all_there_is(headers: dict[str, str], most: int) -> None:
    """Python's own client would end its session for more than 16 packets."""
    async with engine() as one:
        one.headers |= headers
        sid = await one.open(path="/hold")
        session = await one.session()
        for number in range(100):
            session.send_nowait(str(number))
        status, body = await one.get(sid, path="/hold")
        assert (status, body.decode().split("\x1e")) == (200, [f"4{number}" for number in range(most)])


@pytest.mark.parametrize("path", ["/engine.io/", "/engine.io", "/hold", "/hold/"])
async def test_a_handshake_with_and_without_the_slash(path: str) -> None:
    async with engine(ping_interval=0.3, ping_timeout=0.25, max_payload=500) as e:
        status, body = await e.get(path=path)
        assert status == 200
        told = json.loads(body[1:])
        del told["sid"]
        assert told == {"upgrades": ["websocket"], "pingInterval": 300, "pingTimeout": 250, "maxPayload": 500}


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("", (400, 0)),
        ("EIO=4", (400, 0)),
        ("EIO=4&transport=abc", (400, 0)),
        ("transport=polling", (400, 5)),
        ("EIO=abc&transport=polling", (400, 5)),
        ("EIO=2&transport=polling", (400, 5)),
        ("EIO=4&transport=websocket", (400, 3)),
        ("EIO=4&transport=polling&sid=x", (400, 1)),
        ("EIO=4&transport=polling&j=x", (400, 3)),
        ("EIO=4&transport=polling&j=12345678901234567", (400, 3)),
    ],
)
async def test_requests_that_make_no_sense(query: str, told: tuple[int, int]) -> None:
    async with engine() as e, e.place.http.get(f"{e.place.base}/engine.io/?{query}", headers=e.headers) as answer:
        assert error((answer.status, await answer.read())) == told
        assert answer.headers["Content-Type"].startswith("application/json")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "HEAD"])
async def test_methods(method: str) -> None:
    async with engine() as e:
        async with e.place.http.request(method, e.url("/engine.io/", "polling", 4)) as answer:
            assert answer.status == 400
        sid = await e.open()
        if method != "POST":
            async with e.place.http.request(method, e.url("/engine.io/", "polling", 4, sid=sid)) as answer:
                assert answer.status == 400


@pytest.mark.parametrize("query", [{}, {"EIO": "x"}, {"EIO": "4", "transport": "x"}, {"EIO": "4", "sid": "x"}])
async def test_websockets_that_make_no_sense(query: dict[str, str]) -> None:
    async with engine() as e:
        fields = "&".join(f"{name}={value}" for name, value in ({"transport": "websocket"} | query).items())
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await e.place.http.ws_connect(f"{e.place.base}/engine.io/?{fields}")
        assert refused.value.status == 400


async def test_what_an_endpoint_does_not_offer() -> None:
    async with engine(transports=("websocket",), versions=(4,)) as e:
        assert error(await e.get()) == (400, 0)
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await e.websocket(eio=3)
        ws = await e.websocket()
        assert (await ws.next())[0] == "0"


async def test_the_cookie() -> None:
    async with engine(cookie="io", cookie_attributes="Path=/; Secure") as e:
        async with e.place.http.get(e.url("/engine.io/", "polling", 4)) as answer:
            sid = json.loads((await answer.text())[1:])["sid"]
            assert answer.headers["Set-Cookie"] == f"io={sid}; Path=/; Secure"
        ws = await e.websocket()
        assert "io=" in ws.ws._response.headers["Set-Cookie"]


async def test_one_handler_for_all() -> None:
    async with engine() as e:
        peer = e.place.websocket("/engine")
        await peer.open()
        sid = await e.open()
        assert {session.path for session in e.place.rt.sessions} == {"/engine"}
        assert await e.post(sid, "4x") == (200, b"ok")
        assert await e.get(sid) == (200, b"4x")


async def test_no_protocol_takes_up_the_sessions_of_another() -> None:
    async with engine() as e:
        native = e.place.polls("/engine")
        await native.open()
        (session,) = e.place.rt.sessions
        assert error(await e.get(session.id)) == GONE
        sid = await e.open()
        assert error(await e.get(sid, path="/hold")) == GONE
        assert error(await e.get(sid, eio=3)) == (400, 3)
        for send in (f"r{sid},1,0,0,1", f"u{sid},0,0,1"):
            url = e.place.url("/engine/v1/" + ("long_polling" if send[0] == "r" else "send"))
            async with e.place.http.post(url, data=json.dumps([send])) as answer:
                assert answer.status in (404, 410)
        assert await e.post(sid, "4x") == (200, b"ok")


async def test_paths_are_taken_once() -> None:
    rt = realtime.Server()
    rt.endpoint("/a", engineio="/engine.io")(_nothing)
    with pytest.raises(realtime.LocalProtocolError, match=r"/engine\.io"):
        rt.endpoint("/b", engineio="/engine.io/")
    with pytest.raises(TypeError):
        rt.endpoint("/c", engine_io="/x")  # type: ignore[call-arg]


async def _nothing(session: realtime.Session) -> None:
    """A handler."""


# -- messages --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("eio", "query", "kind", "body", "back"),
    [
        (4, {}, "text/plain", b"4hello", b"4hello"),
        (4, {}, "text/plain;charset=UTF-8", "4é\x1ebAQIDBA==".encode(), "4é\x1ebAQIDBA==".encode()),
        (3, {"b64": "1"}, "text/plain", b"6:4hello10:b4AQIDBA==", b"6:4hello10:b4AQIDBA=="),
        (3, {}, "", "3:4\U0001f600".encode(), "3:4\U0001f600".encode()),
        (3, {}, "application/octet-stream", b"\x01\x03\xff\x04\x01\x02", b"\x01\x03\xff\x04\x01\x02"),
    ],
)
async def test_messages_over_polling(eio: int, query: dict[str, str], kind: str, body: bytes, back: bytes) -> None:
    async with engine() as e:
        sid = await e.open(eio=eio, **query)
        assert await e.post(sid, body, eio=eio, kind=kind) == (200, b"ok")
        assert await e.get(sid, eio=eio) == (200, back)


@pytest.mark.parametrize(
    ("eio", "query", "packet"),
    [(4, {}, "4é"), (4, {}, b"\x01\x02"), (3, {}, b"\x04\x01"), (3, {"b64": "1"}, "b4AQ==")],
)
async def test_messages_over_websocket(eio: int, query: dict[str, str], packet: str | bytes) -> None:
    async with engine() as e:
        ws = await e.websocket(eio=eio, **query)
        assert (await ws.next())[0] == "0"
        await ws.send(packet)
        assert await ws.next() == packet


async def test_many_packets_in_one_post_are_taken_whole() -> None:
    async with engine({"max_queue": 16}) as e:
        sid = await e.open()
        packets = [f"4{number}" for number in range(1000)]
        sent = asyncio.ensure_future(e.post(sid, "\x1e".join(packets)))
        got: list[str] = []
        while len(got) < len(packets):
            status, body = await e.get(sid)
            assert status == 200
            got += body.decode().split("\x1e")
        assert got == packets
        assert await sent == (200, b"ok")


async def test_a_handler_that_is_behind_holds_the_answer_to_a_post() -> None:
    async with engine({"max_queue": 16}) as e:
        sid = await e.open(path="/hold")
        session = await e.session()
        sent = asyncio.ensure_future(e.post(sid, "\x1e".join(["4x"] * 16), path="/hold"))
        machine = session._machine
        assert isinstance(machine, EngineMachine)
        await eventually(lambda: machine.waiting)
        assert not sent.done()
        await session.receive()
        assert await sent == (200, b"ok")


async def test_a_handler_that_is_behind_stops_a_websocket() -> None:
    async with engine({"max_queue": 16}) as e:
        ws = await e.websocket(path="/hold")
        session = await e.session()
        for number in range(40):
            await ws.send(f"4{number}")
        machine = session._machine
        assert isinstance(machine, EngineMachine)
        await eventually(lambda: machine.waiting)
        assert machine.inbox.received == 16
        async with asyncio.timeout(LIMIT):
            assert [await session.receive() for _ in range(40)] == [str(number) for number in range(40)]


async def test_jsonp() -> None:
    text = "4\"'\\ \n</script>\u2028\x00"
    async with engine() as e:
        page = e.headers
        async with e.place.http.get(e.url("/engine.io/", "polling", 3, j="0"), headers=page) as answer:
            script = await answer.text()
            assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
        found = re.fullmatch(r'___eio\[0\]\("(.*)"\);', script)
        assert found
        sid = json.loads(re.sub(r"^\d+:0", "", json.loads(f'"{found[1]}"')))["sid"]
        payload = f"{len(text)}:{text}10:b4AQIDBA=="
        form = aiohttp.FormData({"d": payload.replace("\n", r"\n")})
        url = e.url("/engine.io/", "polling", 3, sid=sid, j="0")
        async with e.place.http.post(url, data=form, headers=page) as answer:
            assert (answer.status, await answer.text()) == (200, "ok")
        _, body = await e.get(sid, eio=3, j="1")
        script = body.decode("ascii")
        assert script.startswith("___eio[1](")
        assert "<" not in script
        assert json.loads(script[10:-2]) == payload


@pytest.mark.parametrize("eio", [4, 3])
async def test_a_carriage_return_in_a_form(eio: int) -> None:
    """A browser makes CR LF of it; every LF was escaped by the client."""
    async with engine() as e:
        sid = await e.open(eio=eio)
        text = "4a\rb\r\n\n\rc"
        payload = text if eio == 4 else f"{len(text)}:{text}"
        form = aiohttp.FormData({"d": payload.replace("\n", r"\n").replace("\r", "\r\n")})
        url = e.url("/engine.io/", "polling", eio, sid=sid, j="0")
        page = {"Referer": e.place.url("/page")}  # what a form cannot but show
        async with e.place.http.post(url, data=form, headers=page) as answer:
            assert (answer.status, await answer.text()) == (200, "ok")
        assert await e.get(sid, eio=eio) == (200, payload.encode())


async def test_a_separator_cannot_be_smuggled_into_a_poll() -> None:
    async with engine() as e:
        sid = await e.open(path="/hold")
        session = await e.session()
        await session.join("room")
        with pytest.raises(realtime.LocalProtocolError, match=r"U\+001E"):
            await session.send("a\x1e1")
        await e.place.rt.room("room").send("a\x1e1")
        await e.place.rt.room("room").send("b")
        assert await e.get(sid, path="/hold") == (200, b"4b")
        assert session._machine.outbox.dropped == 1


# -- what is wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"abc", b"", b"4\xff", b"2", b"4a\x1e9", b"\x00\x01\xff4"])
async def test_a_payload_that_is_wrong_ends_the_session(body: bytes) -> None:
    async with engine() as e:
        sid = await e.open()
        assert error(await e.post(sid, body)) == (400, 3)
        assert error(await e.get(sid)) == GONE


async def test_a_payload_said_to_be_bytes() -> None:
    """In version 4 it is text: python-engineio's clients before 4.2 call it so."""
    async with engine() as e:
        sid = await e.open()
        body = "4é\x1ebAQI=".encode()
        assert await e.post(sid, body, kind="application/octet-stream") == (200, b"ok")
        assert await e.get(sid) == (200, body)
        assert error(await e.post(sid, b"\xff", kind="application/octet-stream")) == (400, 3)
        sid = await e.open(eio=3)
        assert error(await e.post(sid, b"2:4a", eio=3, kind="application/octet-stream")) == (400, 3)


async def test_a_payload_of_no_kind_is_text() -> None:
    async with engine() as e:
        sid = await e.open()
        reader, writer = await asyncio.open_connection("127.0.0.1", e.place.port)
        target = e.url("/engine.io/", "polling", 4, sid=sid).removeprefix(e.place.base)
        writer.write(f"POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n4a".encode())
        async with asyncio.timeout(LIMIT):
            assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        writer.close()
        assert await e.get(sid) == (200, b"4a")


async def test_a_payload_that_is_too_large_changes_nothing() -> None:
    async with engine(max_payload=100) as e:
        sid = await e.open()
        assert await e.post(sid, b"4" * 101) == (413, b"")
        assert await e.post(sid, b"d=" + b"4" * 101, j="0") == (413, b"")
        assert await e.post(sid, b"4" * 100) == (200, b"ok")
        assert await e.get(sid) == (200, b"4" * 100)


async def test_a_message_above_max_size_ends_the_session() -> None:
    async with engine({"max_size": 10}) as e:
        sid = await e.open()
        assert await e.post(sid, b"4" * 12) == (413, b"")
        assert error(await e.get(sid)) == GONE


@pytest.mark.parametrize("packet", ["abc", "", "2", "b*"])
async def test_a_websocket_packet_that_is_wrong_ends_the_session(packet: str) -> None:
    async with engine() as e:
        ws = await e.websocket(path="/hold")
        session = await e.session()
        await ws.send(packet)
        await ws.ended()
        await eventually(lambda: session.closed)
        assert session.close_code == 1002


async def test_a_websocket_message_above_max_payload() -> None:
    async with engine(max_payload=100) as e:
        ws = await e.websocket(path="/hold")
        session = await e.session()
        await ws.send("4" * 200)
        await ws.ended()
        await eventually(lambda: session.closed)
        assert session.close_code == 1009


async def test_two_polls_at_once() -> None:
    async with engine() as e:
        sid = await e.open(path="/hold")
        session = await e.session()
        first = asyncio.ensure_future(e.get(sid, path="/hold"))
        await e.parked(session)
        assert (await e.get(sid, path="/hold"))[0] == 400
        assert await first == (200, b"1")
        assert error(await e.get(sid, path="/hold")) == GONE


async def test_two_posts_at_once() -> None:
    async with engine() as e:
        sid = await e.open(path="/hold")
        session = await e.session()
        machine = session._machine
        assert isinstance(machine, EngineMachine)
        more = asyncio.Event()

        async def slowly() -> AsyncIterator[bytes]:
            yield b"4a"
            await more.wait()
            yield b"b"

        async def first() -> int:
            async with e.place.http.post(e.url("/hold", "polling", 4, sid=sid), data=slowly()) as answer:
                return answer.status

        slow = asyncio.ensure_future(first())
        await eventually(lambda: machine.posting)
        assert (await e.post(sid, "4c", path="/hold"))[0] == 400
        more.set()
        assert await slow == 400
        assert session.close_code == 1002


async def test_a_cancelled_poll_ends_the_session() -> None:
    async with engine() as e:
        sid = await e.open(path="/hold")
        session = await e.session()
        poll = asyncio.ensure_future(e.get(sid, path="/hold"))
        await e.parked(session)
        poll.cancel()
        assert (await e.get(sid, path="/hold"))[0] == 400
        assert session.closed


async def test_a_cancelled_poll_is_noticed_without_another() -> None:
    clock = VirtualClock()
    async with engine({"clock": clock}) as e:
        sid = await e.open(path="/hold")
        session = await e.session()
        poll = asyncio.ensure_future(e.get(sid, path="/hold"))
        await e.parked(session)
        link: Any = session._machine.carrier
        poll.cancel()
        await eventually(lambda: link.link.gone)
        clock.advance(1)
        await eventually(lambda: session.closed)
        assert session.close_code == 1006


# -- heartbeats and ends -----------------------------------------------------------------------------------------------


async def test_heartbeats_of_version_4() -> None:
    clock = VirtualClock()
    async with engine({"clock": clock}, ping_interval=0.3, ping_timeout=0.2) as e:
        sid = await e.open(path="/hold")
        session = await e.session()
        for _ in range(3):
            poll = asyncio.ensure_future(e.get(sid, path="/hold"))
            await e.parked(session)
            clock.advance(0.31)
            assert await poll == (200, b"2")
            assert await e.post(sid, "3", path="/hold") == (200, b"ok")
        clock.advance(0.31)
        clock.advance(0.2)
        await eventually(lambda: session.closed)
        assert session.close_code == 4410
        assert error(await e.get(sid, path="/hold")) == GONE


async def test_heartbeats_of_version_3() -> None:
    clock = VirtualClock()
    async with engine({"clock": clock}, ping_interval=0.3, ping_timeout=0.2) as e:
        ws = await e.websocket(eio=3, path="/hold")
        await ws.next()
        session = await e.session()
        for _ in range(3):
            clock.advance(0.4)
            await ws.send("2")
            assert await ws.next() == "3"
        clock.advance(0.51)
        await ws.ended()
        assert session.close_code == 4410


@pytest.mark.parametrize(("eio", "close", "noop"), [(4, "1", b"6"), (3, "1:1", b"1:6")])
async def test_the_client_closes_by_post(eio: int, close: str, noop: bytes) -> None:
    async with engine() as e:
        sid = await e.open(eio=eio, path="/hold")
        session = await e.session()
        poll = asyncio.ensure_future(e.get(sid, eio=eio, path="/hold"))
        await e.parked(session)
        assert await e.post(sid, close, eio=eio, path="/hold") == (200, b"ok")
        assert await poll == (200, noop)
        assert error(await e.get(sid, eio=eio, path="/hold")) == GONE
        assert session.close_code == 1000


@pytest.mark.parametrize("how", ["packet", "frame", "cut"])
async def test_the_client_closes_a_websocket(how: str) -> None:
    async with engine() as e:
        ws = await e.websocket(path="/hold")
        session = await e.session()
        if how == "packet":
            await ws.send("1")
            await ws.ended()
        elif how == "frame":
            await ws.ws.close(code=1001)
        else:
            transport = ws.ws._response.connection.transport  # type: ignore[union-attr] # it is open
            assert transport is not None
            transport.abort()
        await eventually(lambda: session.closed)
        assert session.close_code == {"packet": 1000, "frame": 1001, "cut": 1006}[how]


@pytest.mark.parametrize("transport", ["polling", "websocket"])
async def test_the_handler_closes(transport: str) -> None:
    async with engine() as e:
        if transport == "polling":
            sid = await e.open(path="/hold")
            session = await e.session()
            poll = asyncio.ensure_future(e.get(sid, path="/hold"))
            await session.send("last")
            await session.close(3000, "Go away!")
            got = (await poll)[1].split(b"\x1e")
            got += [] if b"1" in got else (await e.get(sid, path="/hold"))[1].split(b"\x1e")
            assert got == [b"4last", b"1"]
        else:
            ws = await e.websocket(path="/hold")
            session = await e.session()
            await ws.next()
            await session.send("last")
            closing = asyncio.ensure_future(session.close(3000, "Go away!"))
            assert [await ws.next(), await ws.next(), await ws.next()] == ["4last", "1", None]
            assert ws.ws.close_code == 3000
            await closing
        assert session.close_code == 3000


async def test_flush_is_told_when_it_was_written() -> None:
    async with engine() as e:
        ws = await e.websocket(path="/hold")
        session = await e.session()
        await ws.next()
        await session.send("x")
        async with asyncio.timeout(LIMIT):
            await session.flush()
        assert await ws.next() == "4x"


async def test_a_drain_closes_what_is_idle() -> None:
    async with engine() as e:
        ws = await e.websocket()
        await ws.next()
        async with asyncio.timeout(LIMIT):
            await e.place.rt.drain(timeout=20)
        assert await ws.next() == "1"
        assert await ws.next() is None
        assert ws.ws.close_code == 1012


async def test_shutting_down() -> None:
    async with engine() as e:
        ws = await e.websocket()
        await ws.next()
        sid = await e.open(path="/hold")
        session = await e.session()
        poll = asyncio.ensure_future(e.get(sid, path="/hold"))
        await e.parked(session)
        tried = await e.websocket(await e.open())
        stopping = asyncio.ensure_future(e.place.stop())
        assert await poll == (200, b"1")
        assert await ws.next() == "1"
        await ws.ended()
        await tried.ended()
        await stopping


# -- upgrades --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("eio", "noop"), [(4, b"6"), (3, b"1:6")])
async def test_an_upgrade(eio: int, noop: bytes) -> None:
    async with engine() as e:
        sid = await e.open(eio=eio, path="/hold")
        session = await e.session()
        poll = asyncio.ensure_future(e.get(sid, eio=eio, path="/hold"))
        await e.parked(session)
        ws = await e.websocket(sid, eio=eio, path="/hold")
        await ws.send("2probe")
        assert await ws.next() == "3probe"
        assert await poll == (200, noop)
        await session.send("between")
        await ws.send("5")
        assert await ws.next() == "4between"
        assert session.transport == "websocket"
        assert error(await e.get(sid, eio=eio, path="/hold")) == (400, 3)
        assert error(await e.post(sid, "4x", eio=eio, path="/hold")) == (400, 3)
        second = await e.websocket(sid, eio=eio, path="/hold")
        assert await second.next() is None
        await ws.send("4up")
        async with asyncio.timeout(LIMIT):
            assert await session.receive() == "up"


@pytest.mark.parametrize("how", ["lost", "rubbish", "other"])
async def test_an_upgrade_that_dies_after_the_probe(how: str) -> None:
    async with engine() as e:
        sid = await e.open(path="/hold")
        session = await e.session()
        machine = session._machine
        assert isinstance(machine, EngineMachine)
        ws = await e.websocket(sid, path="/hold")
        await ws.send("2probe")
        assert await ws.next() == "3probe"
        await session.send("a")
        if how == "lost":
            await ws.ws.close()
        else:
            await ws.send("?" if how == "rubbish" else "4no")
            await ws.ended()
        await eventually(lambda: machine.trial is None)
        assert await e.get(sid, path="/hold") == (200, b"4a")
        poll = asyncio.ensure_future(e.get(sid, path="/hold"))
        await e.parked(session)
        await session.send("b")
        assert await poll == (200, b"4b")
        ws = await e.websocket(sid, path="/hold")
        await ws.send("2probe")
        assert await ws.next() == "3probe"


async def test_a_session_that_closes_in_mid_upgrade() -> None:
    async with engine() as e:
        sid = await e.open(path="/hold")
        session = await e.session()
        ws = await e.websocket(sid, path="/hold")
        await ws.send("2probe")
        assert await ws.next() == "3probe"
        assert await e.post(sid, "1", path="/hold") == (200, b"ok")
        await ws.ended()
        assert session.closed


async def test_upgrades_may_be_forbidden() -> None:
    async with engine(allow_upgrades=False) as e:
        _, body = await e.get()
        assert json.loads(body[1:])["upgrades"] == []
        ws = await e.websocket(await e.open())
        assert await ws.next() is None


# -- admission -------------------------------------------------------------------------------------------------------


async def test_pages_of_other_origins() -> None:
    async with engine({"allowed_origins": "https://good.example"}) as e:
        url = e.url("/engine.io/", "polling", 4)
        async with e.place.http.get(url, headers={"Origin": "https://bad.example"}) as answer:
            assert answer.status == 403
            assert (await answer.json())["code"] == 4
            assert "Access-Control-Allow-Origin" not in answer.headers
        with pytest.raises(aiohttp.WSServerHandshakeError):
            e.headers = {"Origin": "https://bad.example"}
            await e.websocket()
        good = {"Origin": "https://good.example"}
        async with e.place.http.get(url, headers=good) as answer:
            assert answer.status == 200
            assert answer.headers["Access-Control-Allow-Origin"] == "https://good.example"
            assert answer.headers["Access-Control-Allow-Credentials"] == "true"
            assert answer.headers["Cache-Control"].startswith("no-store")
        asked = good | {"Access-Control-Request-Headers": "x-custom"}
        async with e.place.http.options(url, headers=asked) as answer:
            assert answer.status == 204
            assert answer.headers["Access-Control-Allow-Headers"] == "x-custom"


async def test_who_may_come_in() -> None:
    async with engine() as e:

        @e.place.rt.authorize
        async def authorize(request: realtime.SessionRequest) -> str:
            token = request.query.get("token")
            if token is None:
                raise realtime.Unauthorized("no token")
            return token

        assert error(await e.get()) == (401, 4)
        sid = await e.open(token="a", path="/hold")
        session = await e.session()
        assert session.identity == "a"
        assert (await e.post(sid, "4x", token="b", path="/hold"))[0] == 403
        assert await e.post(sid, "4x", token="a", path="/hold") == (200, b"ok")


async def test_limits() -> None:
    async with engine({"max_sessions": 1}) as e:
        await e.open()
        async with e.place.http.get(e.url("/engine.io/", "polling", 4)) as answer:
            assert answer.status == 429
            assert "Retry-After" in answer.headers
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await e.websocket()


# -- rubbish ---------------------------------------------------------------------------------------------------------


Rubbish = Callable[[Engine, str], Awaitable[object]]
RUBBISH: dict[str, Rubbish] = {
    "sid": lambda e, sid: e.get("%00%ff'\""),
    "index": lambda e, sid: e.get(sid, j="%D9%A3"),
    "version": lambda e, sid: e.get(sid, EIO="%00"),
    "form": lambda e, sid: e.post(sid, b"\xff" * 100, j="1"),
    "bytes": lambda e, sid: e.post(sid, bytes(range(256)), kind="application/octet-stream"),
    "kind": lambda e, sid: e.post(sid, b"4a", kind=";;;"),
    "count": lambda e, sid: e.post(sid, b"99999999999:4"),
}


@pytest.mark.parametrize("name", list(RUBBISH))
@pytest.mark.parametrize("eio", [4, 3])
async def test_rubbish_is_never_a_500(name: str, eio: int, caplog: pytest.LogCaptureFixture) -> None:
    async with engine() as e:
        sid = await e.open(eio=eio)
        answer = await RUBBISH[name](e, sid)
        assert isinstance(answer, tuple)
        assert 200 <= answer[0] < 500
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("body", [b"4hello", b"Transfer-Encoding: chunked", b""])
async def test_a_post_that_is_cut(body: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with engine() as e:
        sid = await e.open(path="/hold")
        session = await e.session()
        machine = session._machine
        assert isinstance(machine, EngineMachine)
        _, writer = await asyncio.open_connection("127.0.0.1", e.place.port)
        target = e.url("/hold", "polling", 4, sid=sid).removeprefix(e.place.base)
        writer.write(f"POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n".encode() + body)
        await eventually(lambda: machine.posting)
        writer.close()
        await eventually(lambda: session.closed)
        assert session.close_code == 1006
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_session_is_no_native_clients() -> None:
    async with engine() as place:
        sid = await place.open(path="/hold")
        session = await place.session()
        polls, websocket = place.place.polls("/hold", "polling"), place.place.websocket("/hold")
        polls.sid = websocket.sid = sid
        polls.gen = websocket.gen = 8
        for name, frame in (("polling", polls.attach_frame()), ("send", polls.uplink_frame())):
            assert (await polls.post(name, [frame, "mstolen"])).refusal == (404, 4404, "session")
        ws = await websocket.connect()
        await ws.send_str(websocket.attach_frame())
        assert str(await websocket.read()).startswith("x4404,session,")
        assert not session.closed
        assert session._machine.inbox.received == 0
