"""Who waits for what: first come, first served, whoever is cancelled in between; and when they go on."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import itertools
import random
from collections.abc import Callable

import pytest

from realtime.waiters import Receivers, Waiters, Wakeups

from .web.sockets import LOOPS


async def test_all_are_woken_and_those_who_left_are_not() -> None:
    waiters = Waiters()
    one, two, gone = waiters.add(), waiters.add(), waiters.add()
    waiters.leave(gone)
    waiters.leave(gone)  # harmless
    waiters.wake()
    assert (one.done(), two.done(), gone.done()) == (True, True, False)
    assert waiters == []


async def test_the_first_are_woken_and_keep_their_place() -> None:
    waiters = Waiters()
    futures = [waiters.add() for _ in range(3)]
    waiters.wake_first(2)
    waiters.wake_first(2)  # they have not run yet
    assert [future.done() for future in futures] == [True, True, False]
    assert waiters == futures


@pytest.mark.parametrize("seed", range(50))
async def test_one_slot_and_a_list_behind_it_are_a_queue(seed: int) -> None:
    """Whatever is done with Receivers, a list says the same."""
    dice = random.Random(seed)
    receivers = Receivers()
    queue: list[asyncio.Future[None]] = []
    woken: set[asyncio.Future[None]] = set()
    for _ in range(60):
        what = dice.choice(("enter", "enter", "leave", "wake some", "wake all"))
        if what == "enter":
            queue.append(receivers.enter())
        elif what == "leave" and queue:
            future = queue.pop(dice.randrange(len(queue)))
            receivers.leave(future)
            receivers.leave(future)  # harmless
        elif what == "wake some":
            count = dice.randrange(4)
            receivers.wake_first(count)
            woken.update(queue[:count])
        elif what == "wake all" and dice.random() < 0.2:
            receivers.wake_all()
            woken.update(queue)
            queue.clear()
        others = list(itertools.chain(receivers.others or ()))
        assert ([] if receivers.first is None else [receivers.first, *others]) == queue
        assert (receivers.others is None) == (len(queue) < 2)  # what is empty takes no room
        assert all(future.done() == (future in woken) for future in queue)


PLACE = contextvars.ContextVar("PLACE", default="nowhere")


class Receiver:
    """A task that waits, again and again, and notes where it goes on."""

    def __init__(self) -> None:
        self.waiter = asyncio.get_running_loop().create_future()
        self.told: list[str] = []
        self.task = asyncio.create_task(self._receive())

    async def _receive(self) -> None:
        while True:
            try:
                await self.waiter
            except asyncio.CancelledError as error:
                self.told.append(f"cancelled {error}")
                raise
            assert asyncio.current_task() is self.task
            self.waiter = asyncio.get_running_loop().create_future()
            self.told.append(PLACE.get())

    async def end(self) -> None:
        """Cancelled."""
        self.task.cancel()
        await asyncio.wait([self.task])


def reading(wakeups: Wakeups, *woken: asyncio.Future[None]) -> None:
    """Reads what brings somebody something, as a listener would have it."""

    def read(data: bytes) -> None:
        assert data == b"what has come"
        assert wakeups.collecting
        for future in woken:
            if wakeups.woken is None:
                wakeups.woken = future
            elif wakeups.woken is not future:
                future.set_result(None)

    wakeups.during(read, b"what has come")
    assert not wakeups.collecting
    assert wakeups.woken is None


async def in_no_task(function: Callable[[], object]) -> None:
    """Calls it from the event loop."""
    asyncio.get_running_loop().call_soon(function)
    await asyncio.sleep(0)


async def test_who_is_woken_goes_on_when_what_has_come_is_read() -> None:
    wakeups = Wakeups()
    PLACE.set("here")
    receiver, other = Receiver(), Receiver()
    PLACE.set("there")
    await asyncio.sleep(0)
    seen = []

    def read() -> None:
        for _ in range(2):
            reading(wakeups, receiver.waiter, receiver.waiter)
            seen.append(receiver.told[:])  # in the context of its own
        reading(wakeups)  # nobody

    await in_no_task(read)
    assert seen == [["here"], ["here"] * 2]
    # A second one, in the next turn.
    await in_no_task(lambda: reading(wakeups, receiver.waiter, other.waiter))
    assert (receiver.told, other.told) == (["here"] * 3, [])
    await asyncio.sleep(0)
    assert other.told == ["here"]
    await receiver.end()
    await other.end()


async def test_within_a_task_it_goes_on_in_the_next_turn() -> None:
    """There is one task at a time. So it is where the other's context is entered."""
    wakeups, receiver = Wakeups(), Receiver()
    await asyncio.sleep(0)
    reading(wakeups, receiver.waiter)
    assert receiver.told == []
    await asyncio.sleep(0)
    assert receiver.told == ["nowhere"]
    ((_, context),) = receiver.waiter._callbacks
    await in_no_task(lambda: context.run(reading, wakeups, receiver.waiter))
    assert receiver.told == ["nowhere"]
    await asyncio.sleep(0)
    assert receiver.told == ["nowhere", "nowhere"]
    await receiver.end()


async def test_who_does_not_wait_alone_or_not_yet_goes_on_in_the_next_turn() -> None:
    wakeups, receiver = Wakeups(), Receiver()
    receiver.waiter.add_done_callback(lambda future: receiver.told.append("done"))
    await in_no_task(lambda: reading(wakeups, receiver.waiter))
    assert receiver.told == []
    await asyncio.sleep(0)
    assert receiver.told == ["done", "nowhere"]
    nobody = asyncio.get_running_loop().create_future()
    reading(wakeups, nobody)
    await nobody
    await receiver.end()


async def test_once_cancelled_or_woken_otherwise_it_is_not_woken_again() -> None:
    wakeups, gone, ended = Wakeups(), Receiver(), Receiver()
    await asyncio.sleep(0)
    gone.task.cancel("enough")
    ended.waiter.set_result(None)
    reading(wakeups, gone.waiter)
    reading(wakeups, ended.waiter)
    await asyncio.wait([gone.task])
    assert (gone.told, ended.told) == (["cancelled enough"], ["nowhere"])
    await ended.end()


async def test_who_was_woken_goes_on_though_the_rest_cannot_be_read() -> None:
    wakeups, receiver = Wakeups(), Receiver()
    await asyncio.sleep(0)

    def read(data: bytes) -> None:
        wakeups.woken = receiver.waiter
        raise ValueError("what has come is nothing")

    def reads() -> None:
        with pytest.raises(ValueError, match="nothing"):
            wakeups.during(read, b"")

    await in_no_task(reads)
    assert receiver.told == ["nowhere"]
    assert not wakeups.collecting
    await receiver.end()


class Reads(asyncio.Protocol):
    """Wakes who waits as soon as something has come."""

    def __init__(self, waiter: asyncio.Future[None], seen: list[str]) -> None:
        self.waiter = waiter
        self.seen = seen

    def data_received(self, data: bytes) -> None:
        reading(Wakeups(), self.waiter)
        self.seen.append("read")


@pytest.mark.parametrize("loop", ["asyncio", *LOOPS])
@pytest.mark.parametrize("end", [SystemExit, KeyboardInterrupt])
def test_what_ends_the_process_ends_it(loop: str, end: type[BaseException]) -> None:
    """Rather than the connection, where an event loop takes what its protocol raises for a fault of that."""
    seen: list[str] = []

    async def leave(waiter: asyncio.Future[None]) -> None:
        await waiter
        raise end("as it was told")

    async def main() -> None:
        event_loop = asyncio.get_running_loop()
        waiter = event_loop.create_future()
        task = asyncio.create_task(leave(waiter))
        server = await event_loop.create_server(lambda: Reads(waiter, seen), "127.0.0.1", 0)
        transport, _ = await event_loop.create_connection(asyncio.Protocol, *server.sockets[0].getsockname())
        transport.write(b"what has come")
        try:
            await event_loop.create_future()
        finally:
            transport.abort()
            server.close()
            with contextlib.suppress(end):
                await task

    with (
        pytest.raises(end, match="as it was told"),
        asyncio.Runner(loop_factory=LOOPS.get(loop, asyncio.new_event_loop)) as runner,
    ):
        runner.run(main())
    assert seen == ["read"]
