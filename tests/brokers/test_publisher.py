"""The end of a publisher, where something is under way or goes wrong."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

import realtime
from realtime.brokers.memory import MemoryBroker
from realtime.core.errors import BrokerError

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
