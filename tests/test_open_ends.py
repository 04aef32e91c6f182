"""Transports that are closing when their loop is closed are waited for; of others it is said who left them."""

from __future__ import annotations

import asyncio
import gc
import socket
import warnings

import aiohttp
import pytest

from . import open_ends


class Protocol(asyncio.Protocol):
    """Knows when its connection has ended."""

    def __init__(self) -> None:
        self.over = False

    def connection_lost(self, error: Exception | None) -> None:
        """It has."""
        self.over = True


@pytest.fixture(autouse=True)
def left(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was left, of these tests alone."""
    kept: list[str] = []
    monkeypatch.setattr(open_ends, "LEFT", kept)
    return kept


async def connected(ours: socket.socket) -> tuple[asyncio.Transport, Protocol]:
    """A transport at one end of a pair."""
    return await asyncio.get_running_loop().create_connection(Protocol, sock=ours)


def test_what_is_closing_is_waited_for(left: list[str]) -> None:
    ours, theirs = socket.socketpair()
    with theirs, warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        loop = asyncio.new_event_loop()
        transport, protocol = loop.run_until_complete(connected(ours))
        transport.close()
        loop.close()
        assert protocol.over
        del transport, protocol, ours
        gc.collect()
    assert told == []
    assert left == []


def test_who_left_what_is_open_is_said(left: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_CURRENT_TEST", "some test")
    ours, theirs = socket.socketpair()
    loop = asyncio.new_event_loop()
    transport, _ = loop.run_until_complete(connected(ours))
    loop.close()
    assert len(left) == 1
    assert left[0].startswith("some test left <_SelectorSocketTransport")
    theirs.close()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # which anybody may be told of, whose test it is not
        del transport, _, ours
        gc.collect()
    assert len(left) == 2
    assert left[1].startswith("some test found <_SelectorSocketTransport")
    assert "Protocol object" in left[1]


def test_who_made_what_nobody_closed_is_said(left: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    async def make() -> tuple[aiohttp.ClientSession, aiohttp.ClientSession]:
        return aiohttp.ClientSession(), aiohttp.ClientSession()

    async def close(session: aiohttp.ClientSession) -> None:
        await session.close()

    monkeypatch.setenv("PYTEST_CURRENT_TEST", "some test")
    loop = asyncio.new_event_loop()
    session, other = loop.run_until_complete(make())
    loop.run_until_complete(close(other))
    loop.close()
    monkeypatch.setenv("PYTEST_CURRENT_TEST", "another")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        del session, other
        gc.collect()
    assert len(left) == 1
    assert left[0].startswith("another found <aiohttp.client.ClientSession")
    assert left[0].endswith("made by some test")
