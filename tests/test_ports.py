"""Ports for programs that bind them later: nobody else gets one, and the program gets it as often as it comes."""

from __future__ import annotations

import asyncio
import errno
import socket
import sys

import pytest

from .ports import port_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the option means less elsewhere")


async def test_only_who_serves_there_gets_it() -> None:
    port = port_for()
    with socket.socket() as other, pytest.raises(OSError) as caught:  # its number is looked at
        other.bind(("127.0.0.1", port))
    assert caught.value.errno == errno.EADDRINUSE
    for _ in range(2):
        server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", port)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()


def test_the_one_above_is_kept_too() -> None:
    port = port_for(and_above=10_000)
    for one in (port, port + 10_000):
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", one))
