"""The real clock: it moves with time, and its calls come from the event loop."""

from __future__ import annotations

import asyncio
import re
import runpy
import time
from pathlib import Path

import pytest

from realtime import clock as clock_module
from realtime.clock import Clock, Patience, SystemClock, call_later

from .patience import within


def test_system_clock_is_a_clock() -> None:
    clock: Clock = SystemClock()
    assert clock.now() <= clock.now()


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="the system has no CLOCK_BOOTTIME")
def test_time_asleep_counts() -> None:
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    now = SystemClock().now()
    assert before <= now <= time.clock_gettime(time.CLOCK_BOOTTIME)


def test_without_boottime_it_is_monotonic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(time, "CLOCK_BOOTTIME", raising=False)
    # A second copy of the module, so that nobody else's SystemClock changes.
    copy = runpy.run_path(str(clock_module.__file__))
    before = time.monotonic()
    now = copy["SystemClock"]().now()
    assert before <= now <= time.monotonic()


async def test_call_at_calls_when_due_and_not_before() -> None:
    clock = SystemClock()
    called = asyncio.get_running_loop().create_future()
    start = clock.now()
    clock.call_at(start + 0.02, lambda: called.set_result(clock.now()))
    assert not called.done()
    # The loop's clock and ours are two clocks: allow for their resolution.
    assert await called - start >= 0.02 - 0.001


async def test_a_time_that_has_passed_is_called_soon_but_not_at_once() -> None:
    clock = SystemClock()
    called = asyncio.Event()
    clock.call_at(clock.now() - 100, called.set)
    assert not called.is_set()
    async with within():
        await called.wait()


async def test_a_cancelled_call_is_not_made() -> None:
    clock = SystemClock()
    calls: list[str] = []
    done = asyncio.Event()
    clock.call_at(clock.now() + 0.001, lambda: calls.append("cancelled")).cancel()
    clock.call_at(clock.now() + 0.002, done.set)
    async with within():
        await done.wait()
    assert calls == []


async def test_what_is_due_while_the_process_stands_still_waits_until_its_sockets_were_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clock_module, "CATCHING_UP", 0.02)
    clock, log, times = SystemClock(), list[str](), iter([0.0, 0.0, 60.0, 60.0])
    monkeypatch.setattr(clock, "now", lambda: next(times), raising=False)
    done = asyncio.Event()

    def judge() -> None:
        log.append("judged")
        done.set()

    kept = clock.call_at(0.0, judge)
    dropped = clock.call_at(0.0, lambda: log.append("cancelled"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)  # both came, a minute late
    assert next(times, "no more") == "no more"
    log.append("read")
    dropped.cancel()
    async with within():
        await done.wait()
    assert log == ["read", "judged"]
    kept.cancel()  # which is harmless


async def test_patience_ends_as_a_timeout_does() -> None:
    with pytest.raises(TimeoutError):
        async with Patience(0.001):
            await asyncio.Event().wait()
    async with Patience(0.001):
        pass
    await asyncio.sleep(0.002)  # nothing is left of it
    with pytest.raises(RuntimeError, match="mine"):
        async with Patience(60.0):
            raise RuntimeError("mine")


async def test_patience_waits_for_an_answer_that_came_while_the_process_stood_still(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clock_module, "STOOD_STILL", -1.0)  # each call comes so late
    monkeypatch.setattr(clock_module, "CATCHING_UP", 0.02)
    async with Patience(0.0):
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # the time is over, and only now what has come is read
        await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        async with Patience(0.0):
            await asyncio.Event().wait()


async def test_what_others_have_to_do_may_have_been_done_while_the_process_stood_still(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clock_module, "STOOD_STILL", -1.0)  # each call comes so late
    monkeypatch.setattr(clock_module, "CATCHING_UP", 0.02)
    log, done = list[str](), asyncio.Event()
    call_later(0.0, done.set)
    call_later(0.0, lambda: log.append("cut off")).cancel()
    for _ in range(3):
        await asyncio.sleep(0)
    assert not done.is_set()
    async with within():
        await done.wait()
    assert log == []


def test_timers_of_event_loops_judge_nobody() -> None:
    package = Path(clock_module.__file__).parent
    used = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if re.search(r"loop(\(\))?\.call_(later|at)\(", path.read_text(encoding="utf-8"))
    }
    apart = {name for name in used if name.startswith(("cli/", "demo/", "testing/"))}
    ours = {
        "cluster/hops.py",  # a connection of our own is closed
        "quic/peer.py",  # looks a second time itself
        "web/polled.py",  # as well
        "webtransport/connection.py",  # pings
    }
    assert used - apart == {"clock.py"} | ours


def test_what_others_answer_is_waited_for_with_patience() -> None:
    """asyncio's own limits, and aiohttp's, which excuse nobody who stood still, are for pauses, and for what a lease
    allows."""
    package = Path(clock_module.__file__).parent
    used = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if re.search(
            r"(with|await|=|,) asyncio\.(timeout|timeout_at|wait_for)\(|ClientTimeout\((?!total=None\))",
            path.read_text(encoding="utf-8"),
        )
    }
    apart = {name for name in used if name.startswith(("cli/", "client/doctor/", "demo/", "testing/"))}
    apart |= used & {"quic/client.py"}  # which knows nothing of this, and waits for no more than a good-bye
    pauses = {"brokers/rooms.py", "cluster/directory.py", "durable/holding.py", "stomp/shared_queues.py"}
    assert used - apart == {"clock.py"} | pauses


def test_without_a_loop_call_at_raises() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        SystemClock().call_at(0, lambda: None)
