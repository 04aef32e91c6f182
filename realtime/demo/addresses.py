"""Where the demo listens, and by which names its page may be asked for."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Iterator

__all__ = ["bind", "bind_somewhere", "origins"]

WILDCARDS = ("", "0.0.0.0", "::")
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


async def bind(host: str, port: int) -> list[socket.socket]:
    """Sockets on all addresses of `host`, with the same port. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            try:
                one = socket.socket(family, kind, protocol)
            except OSError:
                continue  # an address family that this machine does not have
            sockets.append(one)
            if os.name == "posix" and sys.platform != "cygwin":
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if not port and len(sockets) > 1:
                address = (address[0], sockets[0].getsockname()[1], *address[2:])
            one.bind(address)
        if not sockets:
            raise OSError(f"{host} has no address here")
    except BaseException:
        for one in sockets:
            one.close()
        raise
    return sockets


async def bind_somewhere(host: str, port: int) -> list[socket.socket]:
    """The same; on any free port if this one is taken."""
    if port < 65_536:
        with contextlib.suppress(OSError):
            return await bind(host, port)
    return await bind(host, 0)


def origins(host: str, port: int) -> tuple[str, ...]:
    """Where the page may have come from: this demo, by every name of it that is known."""
    names = {_in_url(host)}
    if host in WILDCARDS or host == "localhost" or host.startswith("127.") or host == "::1":
        names |= set(LOOPBACK)
    if host in WILDCARDS:
        names -= {"", "0.0.0.0", "[::]"}
        with contextlib.suppress(OSError):
            name = socket.gethostname()
            names.add(name)
            for _, _, _, _, address in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM):
                names.add(_in_url(str(address[0])))
        names |= {_in_url(address) for address in _outgoing()}
    return tuple(sorted(f"http://{name.lower()}:{port}" for name in names if "%" not in name))


def _in_url(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _outgoing() -> Iterator[str]:
    """This machine's own addresses towards the rest of the world. Nothing is sent: a datagram socket only looks up."""
    for family, elsewhere in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as one:
            one.connect((elsewhere, 9))
            yield str(one.getsockname()[0])
