"""Bytes and requests, counted where the server hands them to its sockets and takes them from there.

What is counted is all that TCP carries: request lines, headers, chunk sizes, WebSocket frame headers and payload. The
headers of TCP and IP, and TLS, are not. A connection's bytes are put down to the endpoint of the request that it is
busy with, so page loads that share a connection with an endpoint don't count for it. Knows no sessions.
"""

from __future__ import annotations

import asyncio
import dataclasses
import re
from collections.abc import Callable, Iterable
from typing import Any, cast

__all__ = ["Account", "Meter"]

# A request of the native protocol; WebSocket frames of clients and bodies of our batches never look like one.
REQUEST = re.compile(rb"[A-Z]{3,7} (/[^ ?\r\n]*?)/v[0-9]+/")
ANY_REQUEST = re.compile(rb"(?:GET|HEAD|POST|OPTIONS|PUT|DELETE|PATCH) /")


@dataclasses.dataclass(slots=True)
class Account:
    """What one endpoint has cost so far."""

    received: int = 0  # bytes from clients
    sent: int = 0  # bytes to clients
    requests: int = 0  # handshakes and preflights are requests too


class Meter:
    """The accounts, by the path of an endpoint with the prefix. Paths without an account are not counted."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}

    def wrap(self, make: Callable[[], asyncio.Protocol]) -> Callable[[], asyncio.Protocol]:
        """A protocol factory for loop.create_server() whose connections are counted."""
        return lambda: _Metered(self, make())

    def account_of(self, data: bytes) -> tuple[bool, Account | None]:
        """Whether a request begins here, and the account of its endpoint, if it has one."""
        if not ANY_REQUEST.match(data):
            return False, None
        found = REQUEST.match(data)
        if found is None:
            return True, None
        return True, self.accounts.get(found[1].decode("latin-1"))


class _Metered(asyncio.Protocol):
    """Stands between a connection and the protocol that serves it."""

    def __init__(self, meter: Meter, protocol: asyncio.Protocol) -> None:
        self._meter = meter
        self.protocol = protocol  # which may be another one after a handshake
        self.account: Account | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's by class.
        self.protocol.connection_made(_MeteredTransport(cast("asyncio.Transport", transport), self))

    def data_received(self, data: bytes) -> None:
        begins, account = self._meter.account_of(data)
        if begins:
            self.account = account
            if account is not None:
                account.requests += 1
        if self.account is not None:
            self.account.received += len(data)
        self.protocol.data_received(data)

    def eof_received(self) -> bool | None:
        return self.protocol.eof_received()

    def connection_lost(self, error: Exception | None) -> None:
        self.protocol.connection_lost(error)

    def pause_writing(self) -> None:
        self.protocol.pause_writing()

    def resume_writing(self) -> None:
        self.protocol.resume_writing()


class _MeteredTransport(asyncio.Transport):
    """Counts what is written, and leaves everything to the transport."""

    def __init__(self, transport: asyncio.Transport, metered: _Metered) -> None:
        super().__init__()
        self._transport = transport
        self._metered = metered

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        if self._metered.account is not None:
            self._metered.account.sent += len(data)
        self._transport.write(data)

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview[Any]]) -> None:
        self.write(b"".join(list_of_data))

    def write_eof(self) -> None:
        self._transport.write_eof()

    def can_write_eof(self) -> bool:
        return self._transport.can_write_eof()

    def abort(self) -> None:
        self._transport.abort()

    def close(self) -> None:
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def is_reading(self) -> bool:
        return self._transport.is_reading()

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._transport.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return self._transport.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._transport.get_write_buffer_limits()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._metered.protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._metered.protocol = cast("asyncio.Protocol", protocol)
