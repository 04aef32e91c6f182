"""Polls and sends are answered straight, or by aiohttp: whatever comes, both ways say and do the same."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import re
import secrets
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.abc import AbstractAccessLogger
from aiohttp.web_protocol import RequestHandler

import realtime
from realtime.clock import CATCHING_UP, STOOD_STILL
from realtime.testing import VirtualClock
from realtime.web import polled, straight, takeover
from realtime.web.lean import LeanLink
from realtime.web.lingering import LEAST
from realtime.web.polled import PolledConnection

from ..patience import arrives, eventually, leap
from .place import Place, native_routes, serving
from .sockets import HANDSHAKE, LOOPS, contexts

LENGTH = re.compile(rb"Content-Length: (\d+)\r\n")
DATE = re.compile(rb"(?<=Date: )[^\r]*")
NONCE = re.compile(rb"(?<=\bk2,)[^\"]*")


class Client:
    """One connection, and the session that was opened on it."""

    sid = key = ""

    def __init__(self, place: Place, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.place = place
        self.reader, self.writer = reader, writer

    def request(self, transport: str, body: bytes | tuple[str, ...], *lines: str, path: str = "/park") -> bytes:
        """The bytes of a request, as a browser would send it."""
        if isinstance(body, tuple):
            body = json.dumps(body).encode()
        head = (
            f"POST {self.place.prefix}{path}/v1/{transport} HTTP/1.1",
            "Host: h",
            "Content-Type: text/plain;charset=UTF-8",
            *(lines or ("Origin: http://h", f"Content-Length: {len(body)}")),
            "",
            "",
        )
        return "\r\n".join(head).encode() + body

    async def raw_answer(self) -> tuple[bytes, bytes]:
        """The head of the next answer, and its body."""
        head = await arrives(self.reader.readuntil(b"\r\n\r\n"))
        length = LENGTH.search(head)
        return head, await arrives(self.reader.readexactly(0 if length is None else int(length[1])))

    async def answer(self) -> tuple[bytes, list[str]]:
        """The head of the next answer, and its frames."""
        head, body = await self.raw_answer()
        return DATE.sub(b"", head), json.loads(body)

    async def ask(self, transport: str, *frames: str, path: str = "/park") -> list[str]:
        """The frames of the answer to a usual request."""
        self.writer.write(self.request(transport, frames, path=path))
        head, said = await self.answer()
        assert head.startswith(b"HTTP/1.1 200 OK\r\n"), (head, said)
        return said

    async def open(self, transport: str = "polling", path: str = "/park", **members: Any) -> None:
        """Opens a session."""
        opens = {"nonce": secrets.token_urlsafe(18), "gen": 1, "window": [256, 1_048_576]} | members
        said = await self.ask(transport, "o" + json.dumps(opens), path=path)
        opened = json.loads(said[0][1:])
        self.sid, self.key = opened["sid"], opened["key"]

    def attach(self, gen: int, received: int = 0, first: int = 1) -> str:
        """The head of a poll."""
        return f"r{self.sid},{gen},{received},0,{first},{self.key}"

    def uplink(self, received: int = 0, first: int = 1) -> str:
        """The head of a send."""
        return f"u{self.sid},{received},0,{first},{self.key}"

    @property
    def session(self) -> realtime.Session:
        """The session, at the server."""
        return self.place.rt._service.sessions.by_sid[self.sid]

    async def warm(self) -> PolledConnection:
        """Polls and sends until both are known, and aiohttp has nothing of the connection."""
        await self.open()
        for gen in (2, 3):
            await self.ask("polling", self.attach(gen))
            await self.ask("send", self.uplink())
        return self.connection

    @property
    def connection(self) -> PolledConnection:
        """What serves this client, which is alone."""
        (connection,) = native_routes(self.place.rt).straight.connections
        return connection


@asynccontextmanager
async def client_of(place: Place, tls: ssl.SSLContext | None = None) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", place.port, ssl=tls)
    try:
        yield Client(place, reader, writer)
    finally:
        writer.close()


@asynccontextmanager
async def a_client(**settings: Any) -> AsyncIterator[Client]:
    async with serving(**settings) as place, client_of(place) as client:
        yield client


class Passed:
    """What went to aiohttp, as bytes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.data: list[bytes] = []
        receive = RequestHandler.data_received

        def note(handler: RequestHandler, data: bytes) -> None:
            if data:
                self.data.append(data)
            receive(handler, data)

        monkeypatch.setattr(RequestHandler, "data_received", note)


# -- both ways -------------------------------------------------------------------------------------------------------


def wrong(dice: random.Random, client: Client) -> bytes:
    """A request that means something else than a usual one, or nothing."""
    other = client.sid[:-1] + ("A" if client.sid[-1] != "A" else "B")
    return dice.choice(
        (
            lambda: client.request("send", b"[]"),
            lambda: client.request("send", b"nonsense"),
            lambda: client.request("send", b'["\xff"]'),
            lambda: client.request("send", b" "),
            lambda: client.request("polling", (client.uplink(),)),
            lambda: client.request("send", (client.attach(9),)),
            lambda: client.request("send", (f"u{other},0,0,1,{client.key}", "m1")),
            lambda: client.request("polling", (f"r{other},9,0,0,1,{client.key}",)),
            lambda: client.request("send", (f"u{client.sid},0,0,1,x{client.key}", "m1")),
            lambda: client.request("send", (f"u{client.sid}",)),
            lambda: client.request("send", (client.uplink(received=1000),)),
            lambda: client.request("polling", (client.attach(9, received=1000),)),
            lambda: client.request("send", (client.uplink(), "a9999,0")),
            lambda: client.request("send", (client.uplink(), "m\ud800")),
            lambda: client.request("send", (client.uplink(), "tfresh")),
            lambda: client.request("send", (client.uplink(), "c1000,")),
            lambda: client.request("send", (client.uplink(),), path="/echo"),
            lambda: client.request("send", b"x" * 70_000),
            lambda: client.request("nothing", (client.uplink(),)),
        )
    )()


def other(dice: random.Random, client: Client) -> bytes:
    """A request that means the same as a usual one, or is another's, and is written in another way."""
    body = json.dumps([client.uplink()]).encode()
    length = f"Content-Length: {len(body)}"
    return dice.choice(
        (
            lambda: client.request("send", body, "Origin: http://h", "Cookie: a=b", length),
            lambda: client.request("send", body, length),
            lambda: client.request("send", body, "Origin: http://other", length),
            lambda: client.request("send", body, "origin: http://h", length),
            lambda: client.request("send", body, "Origin: http://h", f"Content-Length: 0{len(body)}"),
            lambda: client.request("send", body, "Origin: http://h", f"Content-Length:  {len(body)} "),
            lambda: client.request("send", body, "Origin: http://h", length, "Content-Encoding: identity"),
            lambda: client.request("send", b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body), "Transfer-Encoding: chunked"),
            lambda: b"\r\n" + client.request("send", body),
            lambda: b"GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n",
            lambda: b"OPTIONS /realtime/park/v1/send HTTP/1.1\r\nHost: h\r\nOrigin: http://h\r\n\r\n",
        )
    )()


def no_http(dice: random.Random, client: Client) -> bytes:
    """What aiohttp takes for no request, or for a last one."""
    body = json.dumps([client.uplink()]).encode()
    length = f"Content-Length: {len(body)}"
    usual = client.request("send", body)
    return dice.choice(
        (
            lambda: client.request("send", body, "Origin: http://h", length, length),
            lambda: client.request("send", body, "Origin: http://h", length, "Content-Length: 1"),
            lambda: client.request("send", body, "Origin: http://h", f"Content-Length: +{len(body)}"),
            lambda: client.request("send", body, "Origin: http://h", "Content-Length: 1e1"),
            lambda: client.request("send", body, "Origin: http://h", length, "Transfer-Encoding: chunked"),
            lambda: usual.replace(b"Host: h\r\n", b"Host: h\r\n folded\r\n"),
            lambda: usual.replace(b"Host: h", b"Host: h\0"),
            lambda: usual.replace(b"\r\n", b"\n", 1),
            lambda: usual.replace(b"POST", b"P OST", 1),
            lambda: dice.randbytes(40) + b"\r\n\r\n",
        )
    )()


def conversation(dice: random.Random, client: Client) -> tuple[list[bytes], bool]:
    """The requests of a client whose session has been opened; and whether the last is none."""
    requests = []
    number, gen = 1, 2
    for _ in range(dice.randrange(2, 12)):
        kind = dice.random()
        if kind < 0.35:
            requests.append(client.request("polling", (client.attach(gen),)))
            gen += dice.random() < 0.9
        elif kind < 0.75:
            count = dice.randrange(4)
            frames = (client.uplink(first=number), *(f"m{n}" * 9 for n in range(count)))
            requests.append(client.request("send", frames))
            number += count - (count > 0 and dice.random() < 0.2)
        elif kind < 0.85:
            requests.append(other(dice, client))
        else:
            requests.append(wrong(dice, client))
    broken = dice.random() < 0.4
    last = no_http(dice, client) if broken else client.request("send", (), "Connection: close", "Content-Length: 2")
    return [*requests, last], broken


async def told(place: Place, seed: int, tls: ssl.SSLContext | None = None) -> tuple[bytes, Any]:
    """What a client was told, and what has become of its session."""
    dice = random.Random(seed)
    got = b""
    async with client_of(place, tls) as client:
        await client.open()
        machine = client.session._machine
        await client.ask("polling", client.attach(1))
        await client.ask("send", client.uplink())
        (*pieces, last), broken = conversation(dice, client)
        one_by_one = dice.random() < 0.6
        if not one_by_one:
            data = b"".join(pieces)
            cuts = sorted(dice.randrange(len(data) + 1) for _ in range(dice.choice((0, 1, 5, 20))))
            pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
        for piece in pieces:
            client.writer.write(piece)
            await asyncio.sleep(0)
            if one_by_one:
                got += b"".join(await client.raw_answer())
        client.writer.write(last)  # in one piece, since its connection may be reset if more comes
        got += await arrives(client.reader.read())
        got = NONCE.sub(b"", DATE.sub(b"", got)).replace(client.sid.encode(), b"sid")
        if broken:  # which says what of it had come
            before, between, after = got.rpartition(b"HTTP/1.1 ")
            got = before + between + after[:4]
        outcome = None if machine.outcome is None else machine.outcome.code
        result = (machine.inbox.received, machine.outbox.acked, machine.gen, outcome)
    place.end_sessions()
    return got, result


async def test_whatever_comes_both_ways_say_and_do_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    handled = []
    served = PolledConnection._serve

    def note(connection: PolledConnection, *arguments: Any) -> None:
        handled.append(connection)
        served(connection, *arguments)

    monkeypatch.setattr(PolledConnection, "_serve", note)
    async with serving() as place:
        for seed in range(150):
            monkeypatch.setattr(straight, "ANSWERING", True)
            here = await told(place, seed)
            straightly = len(handled)
            monkeypatch.setattr(straight, "ANSWERING", False)
            assert here == await told(place, seed), seed
            assert len(handled) == straightly
    assert len(handled) > 150


@pytest.mark.parametrize(
    ("loop", "tls"),
    [("asyncio", True), ("uvloop", False), ("uvloop", True), ("aiofastnet", False), ("aiofastnet", True)],
)
def test_on_other_loops_and_over_tls_too(loop: str, tls: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def compare() -> None:
        async with serving() as place:
            client_side = None
            if tls:
                server_side, client_side = contexts(tmp_path)
                site = web.TCPSite(place.runner, "127.0.0.1", 0, ssl_context=server_side)
                await site.start()
                place.port = place.runner.addresses[1][1]
            for seed in range(30):
                monkeypatch.setattr(straight, "ANSWERING", True)
                here = await told(place, seed, client_side)
                monkeypatch.setattr(straight, "ANSWERING", False)
                assert here == await told(place, seed, client_side), seed

    with asyncio.Runner(loop_factory=LOOPS.get(loop, asyncio.new_event_loop)) as runner:
        runner.run(compare())


# -- what is known ---------------------------------------------------------------------------------------------------


async def test_aiohttp_has_nothing_of_a_connection_that_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    passed = Passed(monkeypatch)
    async with a_client() as client:
        connection = await client.warm()
        server = client.place.runner.server
        assert server is not None
        assert connection.handler is None
        await eventually(lambda: not server.connections)
        await eventually(lambda: not any("RequestHandler" in str(task) for task in asyncio.all_tasks()))
        count, requests = len(passed.data), server.requests_count
        for gen in range(4, 9):
            assert await client.ask("send", client.uplink(first=gen - 3), f"m{gen}") == [f"a{gen - 3},0"]
            assert await client.ask("polling", client.attach(gen, first=gen - 2)) == [f"r{gen - 3},0"]
        assert len(passed.data) == count
        assert server.requests_count == requests + 10


async def test_answers_are_what_aiohttp_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also the headers of a refusal."""
    async with a_client(allowed_origins=["https://example.org"]) as client:
        heads: list[Any] = []
        for answering in (True, False):
            monkeypatch.setattr(straight, "ANSWERING", answering)
            async with client_of(client.place) as other:
                await other.open()
                lines = "Origin: https://example.org", "Content-Length: {}"
                for frame in (other.attach(2), other.attach(3), other.attach(4), other.attach(5) + "x", "r" + "y" * 22):
                    body = json.dumps([frame]).encode()
                    request = other.request("polling", body, lines[0], lines[1].format(len(body)))
                    other.writer.write(request)
                    heads.append(await other.answer())
        assert heads[:5] == heads[5:]
        assert b"Access-Control-Allow-Origin: https://example.org" in heads[3][0]
        assert b"403 Forbidden" in heads[3][0]


SMUGGLED: dict[str, Callable[[bytes], bytes]] = {
    "two lengths": lambda usual: usual.replace(b"Content-Length", b"Content-Length: 1\r\nContent-Length"),
    "the same length twice": lambda usual: re.sub(rb"(Content-Length: \d+\r\n)", rb"\1\1", usual),
    "a sign": lambda usual: usual.replace(b"Content-Length: ", b"Content-Length: +"),
    "a zero in front": lambda usual: usual.replace(b"Content-Length: ", b"Content-Length: 0"),
    "hexadecimal": lambda usual: usual.replace(b"Content-Length: ", b"Content-Length: 0x"),
    "white space": lambda usual: usual.replace(b"Content-Length: ", b"Content-Length:  "),
    "no space": lambda usual: usual.replace(b"Content-Length: ", b"Content-Length:"),
    "white space behind the name": lambda usual: usual.replace(b"Content-Length:", b"Content-Length :"),
    "a very long length": lambda usual: re.sub(rb"(?<=Content-Length: )\d+", b"9" * 30, usual),
    "chunked too": lambda usual: usual.replace(b"Host: h", b"Host: h\r\nTransfer-Encoding: chunked"),
    "a folded line": lambda usual: usual.replace(b"Host: h", b"Host: h\r\n folded"),
    "a folded length": lambda usual: re.sub(rb"(Content-Length: \d+)", rb"\1\r\n 1", usual),
    "NUL": lambda usual: usual.replace(b"Host: h", b"Host: h\0"),
    "lone line feeds": lambda usual: usual.replace(b"\r\n", b"\n"),
    "a lone line feed": lambda usual: re.sub(rb"(Content-Length: \d+)\r", rb"\1", usual),
    "a lone carriage return": lambda usual: re.sub(rb"(Content-Length: \d+)\r\n", rb"\1\r", usual),
    "another method": lambda usual: usual.replace(b"POST", b"PUT", 1),
    "another version": lambda usual: usual.replace(b"HTTP/1.1", b"HTTP/1.0"),
    "another path": lambda usual: usual.replace(b"/send", b"/../send"),
    "an absolute URL": lambda usual: usual.replace(b"POST ", b"POST http://h", 1),
    "a name in other letters": lambda usual: usual.replace(b"Content-Length", b"content-length"),
    "expects a go-ahead": lambda usual: usual.replace(b"Host: h", b"Host: h\r\nExpect: 100-continue"),
    "an upgrade": lambda usual: usual.replace(b"Host: h", b"Host: h\r\nConnection: upgrade\r\nUpgrade: websocket"),
    "two requests": lambda usual: usual * 2,
    "one and a half": lambda usual: usual + usual[:50],
    "one behind an empty line": lambda usual: b"\r\n" + usual,
    "a length that is too small": lambda usual: usual + b"more",
}


@pytest.mark.parametrize("change", SMUGGLED.values(), ids=SMUGGLED.keys())
async def test_what_is_not_known_word_by_word_is_aiohttps(
    change: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Untouched, and at once."""
    async with a_client() as client:
        connection = await client.warm()
        monkeypatch.setattr(PolledConnection, "_serve", None)
        passed = Passed(monkeypatch)
        usual = client.request("send", (client.uplink(), "m" + "x" * 100))
        data = change(usual)
        assert data != usual
        connection.data_received(data)
        assert passed.data[0] == data
        assert connection.handler is not None
        client.writer.close()
        await eventually(lambda: connection.transport.is_closing())


async def test_heads_are_known_by_what_aiohttp_has_read() -> None:
    """Where it stands in the middle of a request, what looks like one is a part of it."""
    async with a_client() as client:
        await client.open()
        looks = client.request("send", (client.uplink(), "m1"))
        length = f"Content-Length: {len(looks)}"
        body = client.request("send", (client.uplink(),))
        # Behind a whole request there is the beginning of another, whose body looks like a third.
        begun = client.request("nothing", b"", "Origin: http://h", length)
        for piece in (body + begun[:30], begun[30:], looks):
            client.writer.write(piece)
            await asyncio.sleep(0)
        assert (await client.answer())[1] == ["a0,0"]
        assert (await client.answer())[0].startswith(b"HTTP/1.1 404")
        assert await client.ask("send", client.uplink()) == ["a0,0"]  # nothing of it was fed


async def came(connection: PolledConnection, part: bytes) -> None:
    await eventually(lambda: connection._behind == part)


async def test_a_known_request_may_come_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """As from clients that write head and body by themselves. Where the rest does not come aiohttp waits for it."""
    monkeypatch.setattr(polled, "PATIENCE", 60.0)
    passed = Passed(monkeypatch)
    async with a_client() as client:
        connection = await client.warm()
        passed.data.clear()
        usual = client.request("send", (client.uplink(), "m1", "m2"))
        head = usual.index(b"\r\n\r\n") + 4
        for at in range(head, len(usual) - 1, 3):
            client.writer.write(usual[:at])
            await eventually(lambda: connection._part is not None)
            assert connection._behind == usual[:at]
            client.writer.write(usual[at:])
            assert (await client.answer())[1] == ["a2,0"]
            assert connection._part is None
        assert not passed.data
        client.writer.write(usual[:head])
        await came(connection, usual[:head])
        timer = connection._part
        for at in range(head, len(usual) - 1):  # who trickles gains no time
            client.writer.write(usual[at : at + 1])
            await came(connection, usual[: at + 1])
            assert connection._part is timer
        client.writer.write(usual[-1:])
        assert (await client.answer())[1] == ["a2,0"]
        client.writer.write(usual[:head])
        await eventually(lambda: connection._part is not None)
        leap(61)
        await eventually(lambda: passed.data == [usual[:head]])
        client.writer.write(usual[head:])
        assert (await client.answer())[1] == ["a2,0"]
        assert passed.data == [usual[:head], usual[head:]]
        client.writer.write(usual)
        assert (await client.answer())[1] == ["a2,0"]
        await eventually(lambda: connection.handler is None)
        client.writer.write(usual[:head])
        await eventually(lambda: connection._part is not None)
        client.writer.close()
        await eventually(lambda: connection.transport.is_closing() and connection._part is None)


async def test_a_connection_that_ends_while_its_part_is_waited_for_is_nobodys() -> None:
    """Both in one turn of the loop: a handler that aiohttp makes then would be lost before it has begun, and say so."""
    async with a_client() as client:
        connection = await client.warm()
        client.writer.write(client.request("send", (client.uplink(), "m1"))[:-1])
        await eventually(lambda: connection._part is not None)
        connection.transport.close()
        connection._hand_back_part()
        assert connection.handler is None
        await eventually(lambda: connection._part is None)


async def test_a_request_that_has_come_in_part_is_answered_though_its_connection_has_rested_long_enough(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(polled, "PATIENCE", 10_000.0)
    async with a_client() as client:
        connection = await client.warm()
        usual = client.request("send", (client.uplink(), "m1"))
        client.writer.write(usual[:-1])
        await came(connection, usual[:-1])
        leap(connection._keep_alive + 1)
        await eventually(lambda: connection._expiry is None)
        client.writer.write(usual[-1:])
        assert (await client.answer())[1] == ["a1,0"]
        assert connection._expiry is not None  # it rests again


async def test_few_heads_are_known_and_a_connection_of_many_is_left_to_aiohttp(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as a proxy's, on which the requests of many clients come."""
    async with a_client() as client:
        connection = await client.warm()
        passed = Passed(monkeypatch)
        for number in range(20):
            body = json.dumps([client.uplink()]).encode()
            cookie = f"Cookie: user={number}"
            client.writer.write(client.request("send", body, cookie, f"Content-Length: {len(body)}"))
            assert (await client.answer())[1] == ["a0,0"]
            assert len(connection._known) <= polled.HEADS
        assert not connection.may_serve
        assert not connection._known
        await client.ask("send", client.uplink())
        await client.ask("send", client.uplink())
        assert connection.handler is not None
        assert len(passed.data) == 22
        assert connection._passed == (b"", b"")


async def test_two_servers_share_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one the requests are answered straight, as those of the other are by aiohttp."""
    rt = realtime.Server()

    @rt.endpoint("/park")
    async def park(session: realtime.Session) -> None:
        await session.wait_closed()

    async with a_client(prepare=lambda place: realtime.setup(place.app, rt, prefix="/other")) as client:
        connection = await client.warm()
        sid, key = client.sid, client.key
        for _ in range(2):
            client.place.prefix = "/other"
            await client.open()
            assert client.sid in rt._service.sessions.by_sid
            for number in (1, 2, 3):
                assert await client.ask("send", client.uplink(first=number), f"m{number}") == [f"a{number},0"]
                assert connection.handler is not None
            client.place.prefix, client.sid, client.key = "/realtime", sid, key
            assert await client.ask("send", client.uplink()) == ["a0,0"]
            assert connection.handler is None


async def test_it_steps_aside_for_what_takes_the_connection_over() -> None:
    """A WebSocket, such as a proxy's for another client."""
    async with a_client() as client:
        connection = await client.warm()
        transport = connection.transport
        client.writer.write(HANDSHAKE.replace(b"/ws", b"/realtime/park/v1/websocket"))
        head = await arrives(client.reader.readuntil(b"\r\n\r\n"))
        assert head.startswith(b"HTTP/1.1 101")
        protocol: object = transport.get_protocol()
        assert isinstance(protocol, LeanLink)
        assert not native_routes(client.place.rt).straight.connections


async def test_little_is_remembered_of_what_aiohttp_was_given() -> None:
    async with a_client() as client:
        connection = await client.warm()
        body = b"x" * polled.MOST_PASSED
        client.writer.write(b"POST /nothing HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        assert (await client.raw_answer())[0].startswith(b"HTTP/1.1 404")
        assert connection._passed == (b"", b"")
        connection.data_received(body + b"x")
        assert connection._passed[1] == b""


async def test_large_heads_are_not_known() -> None:
    async with a_client() as client:
        connection = await client.warm()
        body = json.dumps([client.uplink()]).encode()
        for _ in range(3):
            cookie = "Cookie: " + "x" * polled.HEAD_SIZE
            client.writer.write(client.request("send", body, cookie, f"Content-Length: {len(body)}"))
            assert (await client.answer())[1] == ["a0,0"]
        assert len(connection._known) == 2


# -- polls that are held ---------------------------------------------------------------------------------------------


async def held(client: Client) -> PolledConnection:
    """A poll that is held on a connection of which aiohttp has nothing."""
    await client.open("long_polling")
    client.writer.write(client.request("long_polling", (client.attach(2),)))
    await eventually(lambda: client.connection._under_way is not None)
    return client.connection


async def test_a_poll_that_is_held_is_answered_by_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that aiohttp has read, of which nothing is left there."""
    async with a_client() as client:
        connection = await held(client)
        server = client.place.runner.server
        assert server is not None
        assert connection.handler is None
        await eventually(lambda: not server.connections)
        passed = Passed(monkeypatch)
        await client.session.send("one")
        head, said = await client.answer()
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert said[-1] == "mone"
        client.writer.write(client.request("long_polling", (client.attach(3, received=1),)))
        await eventually(lambda: connection._under_way is not None)
        await client.session.send("two")
        assert (await client.answer())[1][-1] == "mtwo"
        assert not passed.data


async def test_what_comes_behind_a_poll_that_is_held_waits_for_its_answer() -> None:
    """And is not read on for ever."""
    async with a_client() as client:
        connection = await held(client)
        send = client.request("send", (client.uplink(), "m" + "x" * 4000))
        for _ in range(30):
            client.writer.write(send)
        await eventually(lambda: not connection.transport.is_reading())
        assert polled.MOST_BEHIND <= len(connection._behind) < 6 * polled.MOST_BEHIND
        assert client.session._machine.inbox.received == 0
        await client.session.send("one")
        assert (await client.answer())[1][-1] == "mone"
        for _ in range(30):
            assert (await client.answer())[1] == ["a1,0"]
        assert connection.transport.is_reading()


async def test_an_end_of_the_connection_is_told_at_once() -> None:
    """No watch has to find it: no time passes here."""
    async with a_client(clock=VirtualClock()) as client:
        connection = await held(client)
        machine = client.session._machine
        assert machine.carrier is not None
        client.writer.close()
        await eventually(lambda: machine.carrier is None)
        assert not native_routes(client.place.rt).straight.connections
        assert connection._under_way is None


async def test_a_newer_poll_ends_the_one_before() -> None:
    async with a_client() as client:
        await held(client)
        async with client_of(client.place) as other:
            other.sid, other.key = client.sid, client.key
            other.writer.write(other.request("long_polling", (other.attach(3),)))
            assert (await client.answer())[1][-1].startswith("e")
            assert (await other.answer())[1] == ["r0,0"]  # whoever comes anew has lost the poll before


async def test_a_poll_may_be_held_for_longer_than_a_connection_may_rest() -> None:
    async with a_client(clock=VirtualClock()) as client:
        connection = await held(client)
        session = client.session
        await session.send("one")
        await client.answer()
        await client.ask("send", client.uplink())
        client.writer.write(client.request("long_polling", (client.attach(3, received=1),)))
        await eventually(lambda: connection._under_way is not None)
        leap(connection._keep_alive + 1)
        await eventually(lambda: connection._expiry is None)
        assert not connection.transport.is_closing()
        await session.send("two")
        assert (await client.answer())[1][-1] == "mtwo"
        assert connection._expiry is not None
        leap(connection._keep_alive / 2)
        await client.ask("send", client.uplink())
        before = connection._expiry
        leap(connection._keep_alive / 2 + 1)
        await eventually(lambda: connection._expiry is not before)  # it has rested for half the time only
        assert not connection.transport.is_closing()
        before = connection._expiry
        leap(connection._keep_alive + STOOD_STILL)
        await eventually(lambda: connection._expiry is not before)
        assert not connection.transport.is_closing()  # a request may lie unread
        leap(CATCHING_UP)
        assert await arrives(client.reader.read()) == b""


async def test_who_does_not_read_answers_gets_no_more() -> None:
    async with a_client() as client:
        connection = await client.warm()
        connection.pause_writing()
        client.writer.write(client.request("send", (client.uplink(), "m1")))
        await eventually(lambda: connection._behind)
        leap(connection._keep_alive + 1)
        await eventually(lambda: connection._expiry is None)
        assert client.session._machine.inbox.received == 0
        connection.resume_writing()
        assert (await client.answer())[1] == ["a1,0"]
        assert connection._expiry is not None


# -- the end ---------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("quiet_log")
@pytest.mark.parametrize("holds", [True, False])
async def test_clients_are_told_of_a_shutdown(holds: bool) -> None:
    """Whose poll is held, and who is between two."""
    async with a_client(shutdown_timeout=240.0) as client:
        connection = await held(client)
        if not holds:
            await client.session.send("one")
            await client.answer()
        stopping = asyncio.create_task(client.place.stop())
        if not holds:
            await eventually(lambda: client.place.rt._service.closing)
            client.writer.write(b"GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n")  # by a handler that is made now
            head = await arrives(client.reader.readuntil(b"\r\n\r\n"))
            assert head.startswith(b"HTTP/1.1 404")
            await arrives(client.reader.readexactly(int(LENGTH.search(head)[1])))  # type: ignore[index]
            client.writer.write(client.request("long_polling", (client.attach(3, received=1),)))
        said = (await client.answer())[1]
        assert said[-1].startswith("c1001")
        if not holds:  # whose session waits for its ack
            client.writer.write(client.request("send", (f"u{client.sid},2,0,1,{client.key}",)))
            await client.raw_answer()
        assert await arrives(client.reader.read()) == b""
        await arrives(stopping)
        assert connection.transport.is_closing()


@pytest.mark.usefixtures("quiet_log")
@pytest.mark.parametrize("other", ["a page", "a stream"])
async def test_clients_are_told_of_a_shutdown_whatever_else_their_connection_was_for(other: str) -> None:
    async with a_client(shutdown_timeout=240.0) as client:
        if other == "a page":
            await held(client)
            await client.session.send("one")
            await client.answer()
            client.writer.write(b"GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n")
            assert (await client.raw_answer())[0].startswith(b"HTTP/1.1 404")
        else:
            await client.open()
            client.writer.write(client.request("xhr_streaming", (client.attach(2),)))
            await arrives(client.reader.readuntil(b'"r0,0"'))
            lingering = native_routes(client.place.rt).lingering
            lingering._most = 0
            async with client_of(client.place) as another:  # with which it looks for those that are over
                await another.open()
                another.session._machine.end(1000, "", client.place.rt._service.clock.now())
            assert lingering._most
            carrier = client.session._machine.carrier
            assert carrier is not None
            carrier.link.close(1000, "")
            await arrives(client.reader.readuntil(b"\r\n0\r\n\r\n"))
        stopping = asyncio.create_task(client.place.stop())
        await eventually(lambda: client.place.rt._service.closing)
        received = int(other == "a page")
        client.writer.write(client.request("long_polling", (client.attach(3, received),)))
        said = (await client.answer())[1][-1]
        assert said[1:6] == "1001,"
        if said[0] == "c":
            client.writer.write(client.request("send", (client.uplink(received + 1),)))
            await client.raw_answer()
        assert await arrives(client.reader.read()) == b""
        await arrives(stopping)


@pytest.mark.usefixtures("quiet_log")
@pytest.mark.parametrize("answering", [True, False])
async def test_a_poll_that_comes_while_a_neighbour_shuts_down_is_answered(
    answering: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One whose on_shutdown was there before."""
    monkeypatch.setattr(straight, "ANSWERING", answering)
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def neighbour(app: web.Application) -> None:
        begun.set()
        await go_on.wait()

    async with a_client(
        shutdown_timeout=240.0, prepare=lambda place: place.app.on_shutdown.insert(-1, neighbour)
    ) as client:
        await client.open("long_polling")
        client.writer.write(client.request("long_polling", (client.attach(2),)))
        machine = client.session._machine
        await eventually(lambda: machine.carrier is not None)
        await client.session.send("one")
        await client.answer()
        stopping = asyncio.create_task(client.place.stop())
        await arrives(begun.wait())
        assert not client.place.rt.health().ready  # it opens nothing more
        client.writer.write(client.request("long_polling", (client.attach(3, received=1),)))
        for _ in range(9):  # in which aiohttp would throw it away
            await asyncio.sleep(0)
        go_on.set()
        assert (await client.answer())[1][-1].startswith("c1001")
        client.writer.write(client.request("send", (client.uplink(received=2),)))
        await client.raw_answer()
        await arrives(stopping)


async def test_what_fails_ends_the_connection_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_client() as client:
        connection = await client.warm()

        async def fail(*arguments: Any) -> None:
            raise ZeroDivisionError

        async def wait(*arguments: Any) -> None:
            await asyncio.sleep(0)

        for kind, error in ((fail, ZeroDivisionError), (wait, RuntimeError)):
            with monkeypatch.context() as patch:
                patch.setattr(connection.straight.gate, "send", kind)
                connection.data_received(client.request("send", (client.uplink(),)))
            assert connection.transport.is_closing()
            (context,) = client.place.loop_errors
            assert type(context["exception"]) is error
            client.place.loop_errors.clear()


# -- which way -------------------------------------------------------------------------------------------------------


async def reason(place: Place, caplog: pytest.LogCaptureFixture) -> str:
    """Why a client's requests are aiohttp's."""
    caplog.clear()
    async with client_of(place) as client:
        await client.open()
        for gen in (2, 3, 4):
            await client.ask("polling", client.attach(gen))
        assert not any(one.handler is None for one in native_routes(place.rt).straight.connections)
    place.end_sessions()
    return caplog.text


async def test_it_is_aiohttps_way_where_anybody_is_to_be_asked(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "realtime.server")
    async with serving() as place:
        service = place.rt._service
        with monkeypatch.context() as patch:
            patch.setattr(straight, "ANSWERING", False)
            assert "switched off" in await reason(place, caplog)
        with monkeypatch.context() as patch:
            patch.setattr(takeover, "STRANGE", "its RequestHandler has no _manager")
            assert "of aiohttp, its RequestHandler has no _manager" in await reason(place, caplog)
        with monkeypatch.context() as patch:
            patch.setattr(RequestHandler, "keepalive_timeout", 0)
            assert "keeps no connection open" in await reason(place, caplog)

        async def anybody(request: realtime.SessionRequest) -> str:
            return "anybody"

        with monkeypatch.context() as patch:
            patch.setattr(service.admission, "hook", anybody)
            assert "the authorize hook" in await reason(place, caplog)
        loop = asyncio.get_running_loop()
        loop.set_debug(True)
        try:
            assert "debug mode" in await reason(place, caplog)
        finally:
            loop.set_debug(False)


async def test_connections_that_are_left_are_forgotten_when_they_are_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(straight, "ANSWERING", False)
    async with serving() as place:
        left = native_routes(place.rt).straight.left
        server = place.runner.server
        assert server is not None
        for _ in range(2 * LEAST):
            async with client_of(place) as client:
                await client.open()
            await eventually(lambda: not server.connections)
        async with client_of(place) as client:
            await client.open()
            assert 0 < len(left) <= LEAST + 1


async def test_a_hook_that_comes_later_is_asked() -> None:
    async with a_client() as client:
        connection = await client.warm()
        asked = []

        async def anybody(request: realtime.SessionRequest) -> None:
            asked.append(request)

        client.place.rt._service.admission.hook = anybody
        await client.ask("send", client.uplink())
        assert asked
        assert connection.handler is not None


@pytest.mark.parametrize("kind", ["middleware", "signal", "access log"])
async def test_nothing_is_hidden_from_the_application(kind: str) -> None:
    seen: list[object] = []

    @web.middleware
    async def middleware(request: web.Request, handler: Any) -> web.StreamResponse:
        seen.append(request)
        response: web.StreamResponse = await handler(request)
        return response

    async def signal(request: web.Request, response: web.StreamResponse) -> None:
        seen.append(request)

    class Log(AbstractAccessLogger):
        def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
            seen.append(request)

    def prepare(place: Place) -> None:
        if kind == "middleware":
            place.app.middlewares.append(middleware)
        elif kind == "signal":
            place.app.on_response_prepare.append(signal)
        else:
            place.runner = web.AppRunner(place.app, access_log=logging.getLogger("access"), access_log_class=Log)

    async with a_client(prepare=prepare) as client:
        await client.open()
        for gen in range(2, 8):
            await client.ask("polling", client.attach(gen))
        await eventually(lambda: len(seen) == 7)
