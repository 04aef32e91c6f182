"""Connections that share one reader: where frames end, and that nobody gets what is another's."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from aiohttp import WebSocketError

from realtime.web import lean, parsing
from realtime.web.parsing import UNKNOWN, Parser, Shared, beyond

from ..patience import arrives, eventually
from .sockets import MAX_SIZE, masked, serving_websockets

TEXT = 0x81
SIZES = (0, 1, 125, 126, 127, 300, 65_535, 65_536, 70_000)


@pytest.mark.parametrize("size", SIZES)
def test_where_a_frame_ends(size: int) -> None:
    frame = masked(TEXT, b"x" * size)
    assert beyond(frame, 0) == 0
    assert beyond(frame + frame, 0) == 0
    header = 6 + (0 if size < 126 else 2 if size < 65_536 else 8)
    for cut in {1, 2, 3, 4, 9, 10, header, header + size // 2, len(frame) - 1}:
        if cut >= len(frame):
            continue
        missing = beyond(masked(TEXT, b"before") + frame[:cut], 0)
        assert missing == (UNKNOWN if cut < header - 4 else len(frame) - cut)
        if missing != UNKNOWN:
            assert beyond(frame[cut:], missing) == 0
            assert beyond(frame[cut:] + frame, missing) == 0


def test_what_is_not_seen_at_a_glance() -> None:
    assert beyond(b"", 0) == 0
    assert beyond(b"", 7) == 7
    assert beyond(b"1234", 7) == 3
    assert beyond(masked(TEXT, b"x"), UNKNOWN) == UNKNOWN  # once unknown, always
    assert beyond(masked(0x01, b"a fragment"), 0) == UNKNOWN
    assert beyond(masked(0x80, b"the last of them"), 0) == UNKNOWN
    assert beyond(b"\x81\x02hi", 0) == UNKNOWN  # without a mask
    assert beyond(masked(TEXT, b"x") + b"\x81", 0) == UNKNOWN


class Told:
    """Keeps what was read of its bytes."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def parsed(self, message: Any, size: int) -> None:
        self.told.append(message.data)

    def unreadable(self, error: BaseException) -> None:
        self.told.append(error)


def test_whose_bytes_are_read_is_told_and_a_fault_is_nobody_elses() -> None:
    shared = Shared(MAX_SIZE)
    one, two = Told(), Told()
    for told, data in ((one, masked(TEXT, b"a")), (two, b"\xff\xff\xff"), (one, masked(TEXT, b"b"))):
        shared.whose = told
        shared.reader.feed_data(data)
    assert one.told == ["a", "b"]
    assert [type(error) for error in two.told] == [WebSocketError]
    own = Parser(MAX_SIZE)
    own.whose = two
    own.reader.feed_data(b"\xff\xff\xff")
    own.reader.feed_data(masked(TEXT, b"ignored"))
    assert [type(error) for error in two.told] == [WebSocketError] * 2


@pytest.mark.parametrize("seed", range(8))
async def test_connections_get_their_own_however_they_are_cut(seed: int) -> None:
    dice = random.Random(seed)
    async with serving_websockets() as served:
        clients = [await served.connect() for _ in range(5)]
        expected: list[list[str]] = [[] for _ in clients]
        waiting = [b"" for _ in clients]
        for number in range(200):
            which = dice.randrange(len(clients))
            text = f"{which} {number} " + "x" * dice.choice((0, 3, 110, 300, 1500))
            payload, cut = text.encode(), 0
            if dice.random() < 0.1:
                cut = dice.randrange(len(payload))
                frames = masked(0x01, payload[:cut]) + masked(0x80, payload[cut:])
            else:
                frames = masked(TEXT, payload)
            expected[which].append(text)
            data = waiting[which] + frames
            cut = len(data) if dice.random() < 0.5 else dice.randrange(len(data) + 1)
            clients[which][2].write(data[:cut])
            await clients[which][2].drain()
            waiting[which] = data[cut:]
            if dice.random() < 0.5:
                await asyncio.sleep(0)  # others' bytes come before the rest
        for (_, _, writer), rest in zip(clients, waiting, strict=True):
            writer.write(rest)
        for (recorder, _, _), texts in zip(clients, expected, strict=True):
            await eventually(lambda recorder=recorder, texts=texts: len(recorder.told) > len(texts))  # type: ignore[misc]
            assert recorder.told[1:] == texts
        for recorder, _, writer in clients:
            writer.close()
            await arrives(recorder.over.wait())


async def test_a_reader_of_its_own_is_let_go_behind_the_frame() -> None:
    async with serving_websockets() as served:
        recorder, _, writer = await served.connect()
        frame = masked(TEXT, b"x" * 500)
        writer.write(frame[:100])
        await eventually(lambda: recorder.link._parser is not None)
        assert recorder.link._parser.missing == len(frame) - 100
        writer.write(frame[100:] + masked(TEXT, b"y"))
        await eventually(lambda: recorder.told[-1] == "y")
        assert recorder.link._parser is None
        assert recorder.link._shared.whose is None  # nor does the other keep anybody
        writer.write(masked(0x88))
        await arrives(recorder.over.wait())
        writer.close()


async def test_a_large_frame_that_came_whole_is_read_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving_websockets() as served:
        recorder, _, writer = await served.connect()
        large, short = "x" * 1000, [str(at) for at in range(100)]
        monkeypatch.setattr(lean, "PIECE", 100)
        monkeypatch.setattr(parsing, "PIECE", 100)
        monkeypatch.setattr(lean, "Parser", lambda max_size: pytest.fail("it was cut"))
        recorder.link.data_received(masked(TEXT, large.encode()))
        assert recorder.told[-1] == large
        monkeypatch.setattr(lean, "Parser", Parser)
        before = len(recorder.told)
        recorder.link.data_received(b"".join(masked(TEXT, text.encode()) for text in (*short, large, *short)))
        expected = [*short, large, *short]
        await eventually(lambda: len(recorder.told) == before + len(expected))
        assert recorder.told[before:] == expected
        writer.close()
        await arrives(recorder.over.wait())
