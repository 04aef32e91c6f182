"""What a handler sends over a WebSocket: what is written at once, and what goes along with more."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

import realtime
from realtime.core.carrier import Part
from realtime.core.numbered_machine import NumberedMachine
from realtime.web.lean import LeanLink

from ..eager import eager_task_factory
from .place import Place, eventually, serving


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What is written, each time, where it begins with a message."""
    found: list[bytes] = []
    write = LeanLink.write

    def noting(link: LeanLink, buffers: Sequence[Part]) -> None:
        data = b"".join(buffers)  # type: ignore[arg-type] # frames are bytes
        if data[2:3] == b"m":
            found.append(data)
        write(link, buffers)

    monkeypatch.setattr(LeanLink, "write", noting)
    return found


def frame(text: str) -> bytes:
    return bytes((0x81, len(text))) + text.encode()


@asynccontextmanager
async def several(written: list[bytes], **settings: Any) -> AsyncIterator[tuple[Place, list[int]]]:
    """/several answers a number by so many messages; and how many writes there had been when each was sent."""
    rt = realtime.Server(**settings)
    seen: list[int] = []

    @rt.endpoint("/several")
    async def answers(session: realtime.Session) -> None:
        async for message in session:
            for number in range(int(message)):
                await session.send(f"{number}")
                seen.append(len(written))

    async with serving(rt) as place:
        yield place, seen


async def test_an_answer_is_written_at_once(written: list[bytes]) -> None:
    async with several(written) as (place, seen):
        peer = place.websocket("/several")
        await peer.open()
        for count in (1, 2, 3):
            await peer.send("m1")
            assert await peer.news() == "m0"
            assert seen == list(range(1, count + 1))
        assert written == [frame("m0")] * 3


async def test_what_is_sent_behind_it_goes_along(written: list[bytes]) -> None:
    async with several(written) as (place, seen):
        peer = place.websocket("/several")
        await peer.open()
        await peer.send("m4")
        assert [await peer.news() for _ in range(4)] == ["m0", "m1", "m2", "m3"]
        assert written == [frame("m0"), frame("m1") + frame("m2") + frame("m3")]
        assert seen == [1, 1, 1, 1]


async def test_while_messages_wait_their_answers_go_in_one_piece(written: list[bytes]) -> None:
    async with serving() as place:
        peer, session = await place.parked("websocket")
        for text in "abc":
            await peer.send(f"m{text}")
        await eventually(lambda: len(session._machine.inbox.items) == 3)
        for _ in range(3):
            await session.send(await session.receive())
        # The last found nothing else waiting, but the others were to be written in this turn.
        assert written == []
        assert [await peer.news() for _ in range(3)] == ["ma", "mb", "mc"]
        assert written == [b"".join(map(frame, ("ma", "mb", "mc")))]


async def test_what_answers_nothing_goes_along(written: list[bytes]) -> None:
    async with serving() as place:
        peer, session = await place.parked("websocket")
        for text in "abc":
            await session.send(text)
        assert written == []
        assert [await peer.news() for _ in range(3)] == ["ma", "mb", "mc"]
        assert len(written) == 1


async def test_an_answer_to_whoever_has_gone_comes_once_with_the_next_carrier(written: list[bytes]) -> None:
    async with serving() as place:
        peer, session = await place.parked("websocket")
        await peer.send("ma")
        assert await session.receive() == "a"
        await peer.drop()
        await eventually(lambda: session.state is realtime.State.DETACHED)
        await session.send("b")
        assert written == []
        await peer.resume()
        assert await peer.news() == "mb"
        await peer.send("mc")
        assert await session.receive() == "c"
        await session.send("d")
        closing = asyncio.create_task(session.close(4000))
        assert [await peer.news() for _ in range(2)] == ["md", "c4000,"]
        assert written == [frame("mb"), frame("md")]
        await peer.drop()
        await closing


async def test_an_answer_waits_for_who_does_not_read(written: list[bytes]) -> None:
    async with serving() as place:
        peer, session = await place.parked("websocket")
        (link,) = place.links
        assert isinstance(link, LeanLink)
        await peer.send("ma")
        assert await session.receive() == "a"
        link.pause_writing()
        await session.send("b")
        await session.send("c")
        assert written == []
        link.resume_writing()
        assert [await peer.news() for _ in range(2)] == ["mb", "mc"]
        assert written == [frame("mb") + frame("mc")]


async def test_a_write_that_fails_ends_the_session_and_not_the_handler(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(machine: NumberedMachine, now: float) -> None:
        raise RuntimeError("a fault of ours")

    async with serving() as place:
        peer, session = await place.parked("websocket")
        await peer.send("ma")
        assert await session.receive() == "a"
        with monkeypatch.context() as patch:
            patch.setattr(NumberedMachine, "flush", broken)
            await session.send("b")
        assert (session.close_code, session.close_reason) == (1011, "the server failed")
        assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_nothing_is_written_within_a_callback_where_tasks_begin_at_once(written: list[bytes]) -> None:
    loop = asyncio.get_running_loop()
    async with serving() as place:
        peer, session = await place.parked("websocket")
        await peer.send("ma")
        assert await session.receive() == "a"
        told: list[tuple[str, list[bytes]]] = []
        tasks: list[asyncio.Task[None]] = []

        def answer(event: str) -> None:
            tasks.append(loop.create_task(session.send(event)))
            told.append((event, list(written)))

        session.on_change(answer)
        loop.set_task_factory(eager_task_factory)
        try:
            await peer.drop()
            await eventually(lambda: session.state is realtime.State.DETACHED)
            await peer.resume()
            assert [await peer.news() for _ in range(2)] == ["mstate", "mstate"]
        finally:
            loop.set_task_factory(None)
        await asyncio.gather(*tasks)
        assert told == [("state", []), ("state", [])]
        assert written
