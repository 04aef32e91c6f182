"""Who waits for what: first come, first served, whoever is cancelled in between."""

from __future__ import annotations

import asyncio
import itertools
import random

import pytest

from realtime.waiters import Receivers, Waiters


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
