"""The end of a publisher, where something is under way or goes wrong; and what is asked of all workers."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest

import realtime
from realtime.brokers.asking import Asking
from realtime.brokers.memory import MemoryBroker
from realtime.core.errors import BrokerError
from realtime.loops import Tasks

from ..patience import arrives


class Broker(MemoryBroker):
    """One whose store a test has changed."""

    def __init__(self, change: Callable[[Any], object]) -> None:
        super().__init__()
        self._change = change

    def store(self) -> Any:
        store = super().store()
        self._change(store)
        return store


def fails(store: Any) -> None:
    raise BrokerError("there is none")


def test_what_another_thread_waits_for_when_a_blocking_publisher_ends_is_told() -> None:
    """It waited for ever."""
    asked = threading.Event()
    raised: list[BrokerError] = []

    def change(store: Any) -> None:
        async def publish(*_: Any) -> None:
            asked.set()
            await asyncio.Event().wait()

        store.publish = publish

    def send() -> None:
        try:
            publisher.send("room", "text")
        except BrokerError as error:
            raised.append(error)

    publisher = realtime.BlockingPublisher(Broker(change), broker_timeout=50)
    thread = threading.Thread(target=send, daemon=True)
    with publisher:
        thread.start()
        assert asked.wait(60)
    thread.join(60)
    assert [error.maybe_sent for error in raised] == [True]
    with pytest.raises(BrokerError, match="within `with`"):
        publisher.send("room", "text")


def test_a_blocking_publisher_that_cannot_begin_leaves_no_thread() -> None:
    before = set(threading.enumerate())
    with pytest.raises(BrokerError, match="there is none"), realtime.BlockingPublisher(Broker(fails)):
        pass
    assert set(threading.enumerate()) == before


def test_a_blocking_publisher_is_one_of_one_process_and_entered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process that was forked off, which has no thread of it, whoever sent waited for ever."""
    with realtime.BlockingPublisher(MemoryBroker()) as publisher:
        with pytest.raises(BrokerError, match="within a `with` already"):
            publisher.__enter__()
        with monkeypatch.context() as forked:
            forked.setattr(os, "getpid", lambda: -1)
            for send in publisher.send, lambda room, text: publisher.identity(room).send(text):
                with pytest.raises(BrokerError, match="a fork takes no threads along"):
                    send("room", "text")
            publisher.__exit__(None, None, None)  # which is the other process's affair
        publisher.send("room", "text")


async def test_a_publisher_that_is_cancelled_at_its_end_leaves_nothing_behind() -> None:
    closed = asyncio.Event()
    comparing = asyncio.Event()

    def change(store: Any) -> None:
        async def close() -> None:
            closed.set()

        store.close = close

    async def compare() -> None:
        comparing.set()
        await asyncio.Event().wait()

    before = asyncio.all_tasks()
    publisher = await realtime.Publisher(Broker(change)).__aenter__()
    publisher._publishing.compare = compare  # type: ignore[union-attr, method-assign]
    ending = asyncio.create_task(publisher.__aexit__(None, None, None))
    await arrives(comparing.wait())
    ending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await arrives(ending)
    assert closed.is_set()
    assert asyncio.all_tasks() == before


class Odd:
    """A store that has no worker but this one, and raises once what no store should."""

    def __init__(self) -> None:
        self.raises = [asyncio.CancelledError("of its own"), ValueError("what is this")]

    def run_of(self, room: str) -> str:
        return "run"

    def run_at(self, part: int) -> str:
        return "run"

    def parts_of(self, rooms: object) -> set[int]:
        return {0}

    async def workers(self, part: int) -> list[str]:
        return []

    async def answers(self, part: int, question: str) -> dict[str, str]:
        if self.raises:
            raise self.raises.pop()
        return {}

    async def publish(self, *_: object) -> None:
        """Told."""


async def test_a_closing_is_told_on_whatever_the_store_raises(caplog: pytest.LogCaptureFixture) -> None:
    """One that nobody tells any more leaves sessions open that are to end."""
    tasks, odd = Tasks("test", logging.getLogger("realtime.broker")), Odd()
    asking = Asking(odd, odd, "me", 5.0, tasks.begin, 10.0)  # type: ignore[arg-type] # it has all that is asked of either
    assert await asking.close(asking.closing("ada", 4401, ""), "here") == 0
    assert "is asked again" in caplog.text
    await tasks.end()
