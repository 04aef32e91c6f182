"""Numbered messages: what is lost, repeated or reordered is noticed, and said."""

from __future__ import annotations

import asyncio
import json

import pytest

import realtime
from realtime.demo.verify import PACES, SETTINGS, Count, _read, verify
from realtime.testing import Clients

from .conftest import PATIENCE


@pytest.mark.parametrize(
    ("numbers", "counts"),
    [
        ([1, 2, 3], (3, 0, 0, 0)),
        ([1, 3], (2, 1, 0, 0)),
        ([2], (1, 1, 0, 0)),
        ([1, 1, 2], (3, 0, 1, 0)),
        ([1, 3, 2], (3, 0, 0, 1)),
        ([1, 3, 2, 2], (4, 0, 1, 1)),
        ([1, 5, 3], (3, 2, 0, 1)),
    ],
)
def test_counting(numbers: list[int], counts: tuple[int, int, int, int]) -> None:
    count = Count()
    for number in numbers:
        count.take(number)
    assert (count.received, count.lost, count.repeated, count.reordered) == counts
    assert tuple(count.as_dict().values()) == counts


def test_a_huge_gap_is_bounded() -> None:
    count = Count()
    for gap in range(1, 50):  # however often it is made
        count.take(gap * 10**12)
    assert 0 < count.lost <= 10_000


@pytest.mark.parametrize("pace", ["NaN", "-Infinity"])
def test_a_pace_is_a_pace(pace: str) -> None:
    """Of a NaN an event loop makes a timer that disturbs all others."""
    assert _read(f'{{"n": 1, "pace": {pace}}}') == (1, PACES[0])


def test_what_no_machine_can_read_is_no_message() -> None:
    assert _read("[" * 4000) is None
    assert _read('{"n": 1, "pace": 1' + "0" * 400 + "}") is None


def make_server() -> realtime.Server:
    server = realtime.Server()
    server.endpoint("/plug", **SETTINGS)(verify)
    return server


async def test_the_server_tells_what_it_got_and_numbers_what_it_says() -> None:
    async with Clients() as clients, asyncio.timeout(PATIENCE):
        session = await clients(make_server(), "/realtime/plug", transports=["websocket"])
        for position, number in enumerate((1, 3, 2, 2), 1):
            await session.send(json.dumps({"n": number, "pace": None}))
            told = json.loads(await session.receive())
            assert told["n"] == position
        assert told["up"] == {"received": 4, "lost": 0, "repeated": 1, "reordered": 1}


async def test_it_talks_at_a_pace_until_it_is_told_to_stop() -> None:
    async with Clients() as clients, asyncio.timeout(PATIENCE):
        session = await clients(make_server(), "/realtime/plug", transports=["websocket"])
        await session.send('{"n": 1, "pace": 0.02}')
        for expected in range(1, 6):
            assert json.loads(await session.receive())["n"] == expected
        await session.send('{"n": 2, "pace": null}')
        while json.loads(await session.receive())["up"]["received"] < 2:
            pass


@pytest.mark.parametrize("message", ["", "[]", '{"n": 0, "pace": null}', '{"n": 1}', '{"n": true, "pace": 1}', b"\xff"])
async def test_what_is_no_number_ends_the_session(message: str | bytes) -> None:
    async with Clients() as clients, asyncio.timeout(PATIENCE):
        session = await clients(make_server(), "/realtime/plug", transports=["websocket"])
        await session.send(message)
        await session.wait_closed()
        assert session.close_code == 4000
