"""One connection on which all sorts of requests come, in any order and cut anywhere, as behind a proxy that keeps it:
polls, sends, streams, and none of these. Each message comes once and in order, whoever serves the connection."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
import re
import secrets
from typing import Any
from urllib.parse import quote

import pytest

import realtime
from realtime.web import sockets, straight
from realtime.web.polled import PolledConnection
from realtime.web.streams import StreamLink

from ..patience import arrives, eventually
from .peer import batch_of
from .place import Place, serving

LENGTH = re.compile(rb"Content-Length: (\d+)\r\n")
STREAMS = ("xhr_streaming", "sse")
POLLS = ("long_polling", "polling")
OTHERS = {
    "unknown": (b"GET /nowhere HTTP/1.1\r\nHost: h\r\n\r\n", 404),
    "head": (b"HEAD /nowhere HTTP/1.1\r\nHost: h\r\n\r\n", 404),
    "options": (b"OPTIONS /realtime/flood/v1/send HTTP/1.1\r\nHost: h\r\nOrigin: http://h\r\n\r\n", 204),
    "empty": (b"POST /realtime/flood/v1/send HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n[]", 400),
}


def post(name: str, frames: list[str], dice: random.Random) -> bytes:
    """Mostly as always, so that it is known."""
    body = json.dumps(frames).encode()
    kind = dice.random()
    length, expect = f"Content-Length: {len(body)}", ""
    if kind < 0.1:
        length, body = "Transfer-Encoding: chunked", b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    elif kind < 0.2:
        expect = "Expect: 100-continue\r\n"
    return f"POST /realtime/flood/v1/{name} HTTP/1.1\r\nHost: h\r\n{expect}{length}\r\n\r\n".encode() + body


class Client:
    """A session, on one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, dice: random.Random) -> None:
        self.reader, self.writer, self.dice = reader, writer, dice
        self.sid = self.key = ""
        self.gen, self.received, self.sent = 1, 0, 0
        self.tickets: dict[int, str] = {}

    async def answer(self, *, bare: bool = False) -> tuple[int, bytes]:
        """The status of the next answer, and its body."""
        status = 100
        while status == 100:
            head = await arrives(self.reader.readuntil(b"\r\n\r\n"))
            status = int(head.split(b" ")[1])
        length = LENGTH.search(head)
        if bare or status == 204:
            return status, b""
        if length is not None:
            return status, await arrives(self.reader.readexactly(int(length[1])))
        body = b""
        while size := int(await arrives(self.reader.readuntil(b"\r\n")), 16):
            body += (await arrives(self.reader.readexactly(size + 2)))[:-2]
        await arrives(self.reader.readexactly(2))
        return status, body

    def take(self, frames: list[str], number: int) -> None:
        """Sees that messages follow the one of this number."""
        for frame in frames:
            if frame[0] == "m":
                number += 1
                assert frame[1:].split(":")[0] == str(number)
            elif frame[0] == "k":
                first, *tickets = frame[1:].split(",")
                self.tickets.update(enumerate(tickets, int(first)))
            elif frame[0] == "n":
                number = int(frame[1:]) - 1
            assert frame[0] != "x", frame
        self.received = max(self.received, number)

    async def open(self) -> None:
        members = {"nonce": secrets.token_urlsafe(18), "gen": 1, "window": [8, 16_384]}
        self.writer.write(post("polling", ["o" + json.dumps(members)], self.dice))
        opened, *more = json.loads((await self.answer())[1])
        self.sid, self.key = (json.loads(opened[1:])[name] for name in ("sid", "key"))
        self.take(more, 0)

    def request(self, kind: str) -> bytes:
        if kind in OTHERS:
            return OTHERS[kind][0]
        more = [f"m{self.sent + n}" for n in range(1, self.dice.randrange(3))] if kind != "sse" else []
        numbers = f"{self.received},{self.received},{self.sent + 1}"
        self.sent += len(more)
        if kind == "send":
            return post(kind, [f"u{self.sid},{numbers},{self.key}", *more], self.dice)
        self.gen += 1
        if kind != "sse":
            return post(kind, [f"r{self.sid},{self.gen},{numbers},{self.key}", *more], self.dice)
        frame = quote(f"r{self.sid},{self.gen},{numbers},{self.tickets[self.gen]}", safe="")
        return f"GET /realtime/flood/v1/sse?frame={frame} HTTP/1.1\r\nHost: h\r\n\r\n".encode()

    async def turn(self) -> None:
        """A few requests, of which only the last may be a stream: behind that the connection may end."""
        dice, known = self.dice, self.received
        kinds = dice.choices(["send", *POLLS], k=dice.choice((1, 1, 1, 2, 4)))
        if dice.random() < 0.3:
            kinds.append(dice.choice(list(OTHERS)))
        if dice.random() < 0.2:
            kinds.append("sse" if self.gen + sum(kind in POLLS for kind in kinds) + 1 in self.tickets else STREAMS[0])
        data = b"".join([self.request(kind) for kind in kinds])
        cuts = sorted(dice.choices(range(len(data)), k=dice.choice((0, 0, 1, 3))))
        for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
            self.writer.write(data[start:end])
            await asyncio.sleep(0)
        for kind in kinds:
            status, body = await self.answer(bare=kind == "head")
            assert status == (OTHERS[kind][1] if kind in OTHERS else 200), (kind, body)
            if kind in STREAMS:
                batches = [text for text in map(batch_of, body.decode().split("\n")) if text[:1] == "["]
                frames = [frame for text in batches for frame in json.loads(text)]
                assert frames[-1] == "erecycled"
                self.take(frames, known)
            elif kind not in OTHERS:
                self.take(json.loads(body), known)


async def converse(place: Place, seed: int) -> tuple[int, int]:
    """How many messages came, and went."""
    reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
    client = Client(reader, writer, random.Random(seed))
    await client.open()
    machine = place.rt._service.sessions.by_sid[client.sid]._machine
    for _ in range(12):
        await client.turn()
    await eventually(lambda: machine.inbox.received == client.sent)
    writer.close()
    machine.end(1000, "", place.rt._service.clock.now())
    return client.received, client.sent


def note(monkeypatch: pytest.MonkeyPatch, kind: type, name: str, calls: list[str]) -> None:
    """Notes the calls of a method."""
    method = getattr(kind, name)

    def noting(*arguments: Any) -> Any:
        calls.append(name)
        return method(*arguments)

    monkeypatch.setattr(kind, name, noting)


@pytest.mark.usefixtures("quiet_log")
@pytest.mark.parametrize("ours", [True, False], ids=["ours", "aiohttp's"])
async def test_all_sorts_of_requests_on_one_connection(ours: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "TAKING_OVER", ours)
    monkeypatch.setattr(straight, "ANSWERING", ours)
    heard: list[str] = []
    served: list[str] = []
    for kind, name in ((PolledConnection, "_serve"), (StreamLink, "take")):
        note(monkeypatch, kind, name, served)

    def prepare(place: Place) -> None:
        @place.rt.endpoint("/flood")
        async def flood(session: realtime.Session) -> None:
            async def sends() -> None:
                with contextlib.suppress(realtime.SessionClosed):
                    for number in itertools.count(1):
                        await session.send(f"{number}:" + "x" * 1000)

            sending = asyncio.create_task(sends())
            async for message in session:
                heard.append(str(message))
            await sending

    async with serving(prepare=prepare, max_stream_size=4096) as place:
        for seed in range(12):
            received, sent = await converse(place, seed)
            assert received > 12
            await eventually(lambda: len(heard) >= sent)  # noqa: B023
            assert heard == [str(number) for number in range(1, sent + 1)]
            heard.clear()
    assert set(served) == ({"_serve", "take"} if ours else set())
