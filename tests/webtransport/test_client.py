"""The Python client's way to a UDP port: of several addresses the one that answers, and nothing left of the others."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Any, NoReturn

import pytest

import realtime
from realtime.quic import client
from realtime.quic.client import open_channel
from realtime.quic.failures import NoSession
from realtime.testing import UdpFaultProxy

from ..patience import arrives, eventually
from .place import OPEN, Place, Raw, made, place

PATH = "/realtime/echo/v1/webtransport"


def echoing() -> realtime.Server:
    rt = realtime.Server(open_timeout=60.0)

    @rt.endpoint("/echo")
    async def echo(session: realtime.Session) -> None:
        async for message in session:
            await session.send(message)

    return rt


def resolves_to(monkeypatch: pytest.MonkeyPatch, ports: Sequence[int]) -> None:
    """A host with several addresses: for this test they differ in their ports."""
    found = [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("127.0.0.1", port)) for port in ports]

    async def getaddrinfo(*_: object, **__: object) -> Any:
        return found

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list[client.Channel]:
    """All channels that are made."""
    made_of_them: list[client.Channel] = []
    begin = client._begin

    async def keep(*arguments: Any) -> client.Channel:
        channel = await begin(*arguments)
        made_of_them.append(channel)
        return channel

    monkeypatch.setattr(client, "_begin", keep)
    return made_of_them


async def hello(there: Place, port: int) -> None:
    """Opens a session by a channel to whatever answers."""
    channel = await arrives(open_channel("127.0.0.1", port, PATH, (), made().digest))
    try:
        raw = Raw(channel)
        raw.send(OPEN)
        assert await raw.until("o")
    finally:
        channel.close()


async def test_where_one_address_lets_no_udp_through_the_next_is_tried(
    monkeypatch: pytest.MonkeyPatch, kept: list[client.Channel]
) -> None:
    async with place(echoing()) as there, UdpFaultProxy("127.0.0.1", 9) as dark:
        dark.go_dark()
        resolves_to(monkeypatch, [dark.port, there.listener.port])
        await hello(there, 1)
        assert len(kept) == 2
        await eventually(lambda: all(channel.is_over for channel in kept))


async def test_where_nobody_is_at_one_address_the_next_is_tried_at_once(
    monkeypatch: pytest.MonkeyPatch, kept: list[client.Channel]
) -> None:
    monkeypatch.setattr(client, "NEXT_ADDRESS", 300.0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:  # whoever asks there is refused
        taken.bind(("127.0.0.1", 0))
        taken.connect(("127.0.0.1", 9))
        async with place(echoing()) as there:
            resolves_to(monkeypatch, [taken.getsockname()[1], there.listener.port])
            await hello(there, 1)
            assert len(kept) == 2


async def test_what_has_answered_is_told_and_not_what_was_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.connect(("127.0.0.1", 9))
        async with place(echoing()) as there:
            resolves_to(monkeypatch, [there.listener.port, taken.getsockname()[1]])
            with pytest.raises(NoSession) as caught:
                await arrives(open_channel("127.0.0.1", 1, PATH, (), b"x" * 32))
            assert caught.value.why == "certificate"
            resolves_to(monkeypatch, [])
            with pytest.raises(ConnectionError, match="has no address"):
                await open_channel("nowhere", 1, PATH, ())


async def test_who_gives_up_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch, kept: list[client.Channel]) -> None:
    monkeypatch.setattr(client, "NEXT_ADDRESS", 0.0)
    async with UdpFaultProxy("127.0.0.1", 9) as dark:
        dark.go_dark()
        resolves_to(monkeypatch, [dark.port, dark.port])
        trying = asyncio.create_task(open_channel("127.0.0.1", 1, PATH, (), b"x" * 32))
        await eventually(lambda: len(kept) == 2)
        trying.cancel()
        await asyncio.wait({trying})
        assert trying.cancelled()
        await eventually(lambda: all(channel.is_over for channel in kept))


@pytest.mark.parametrize("where", ["receive_datagram", "datagrams_to_send"])
async def test_what_makes_the_client_fail_is_a_session_that_ends(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    def fails(*_: object, **__: object) -> NoReturn:
        raise ZeroDivisionError("as no server should make it")

    async with place(echoing()) as there, there.raw() as raw:
        raw.send(OPEN)
        assert await raw.until("o")
        monkeypatch.setattr(raw.channel.quic, where, fails)
        raw.send("mhello")
        while await raw.receive() is not None:
            """What has come by then."""
        assert raw.channel.is_over


async def test_no_ticket_is_given_so_nothing_can_be_said_again() -> None:
    """What comes before a handshake is done (0-RTT) could have been recorded."""
    tickets: list[object] = []
    async with place(echoing()) as there, there.raw() as raw:
        raw.channel.quic._session_ticket_handler = tickets.append
        raw.send(OPEN)
        assert await raw.until("o")
        raw.send("mhello")
        assert await raw.until("m") == "mhello"
        (connection,) = there.listener._connections
        assert connection.quic.tls.early_data_accepted is False
        assert connection.quic._session_ticket_fetcher is None
        assert connection.quic._session_ticket_handler is None
    assert tickets == []
