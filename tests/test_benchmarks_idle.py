"""The command that says what sessions cost that do nothing: it measures what it says, with few of them."""

from __future__ import annotations

import asyncio
import sys
import time

import pytest

from benchmarks.idle import SERVERS, Idle, Turns, measured, table
from benchmarks.load import Limit

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the harness reads /proc or asks ps")


async def test_a_server_rests_echoes_and_says_how_long_its_turns_were() -> None:
    found = await measured("realtime", None, 5, 0.01, Limit(float("inf"), 20))
    assert found.cpu >= 0
    assert min(found.alone, found.beside, found.turn) > 0


def test_the_longest_turn_is_told_and_what_is_waited_for_is_none() -> None:
    began = time.thread_time()
    turns = Turns()  # the first turn begins behind that

    async def work() -> None:
        start = time.thread_time()
        while time.thread_time() - start < 0.02:
            pass
        await asyncio.sleep(0)  # which ends the turn

    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(turns)) as runner:
        runner.run(asyncio.sleep(0.05))  # the time is what is tested: it is waited, and none of it is work
        assert turns.longest <= time.thread_time() - began
        runner.run(work())
        assert turns.longest >= 0.02


def test_the_table_names_all() -> None:
    lines = table({name: Idle(0.0123, 1.0, 2.0, 3.0) for name in SERVERS}).splitlines()
    assert lines[2:] == [f"| {name} | 1.23% | 1.00 ms | 2.00 ms | 3 ms |" for name in SERVERS]
