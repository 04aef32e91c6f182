"""Ports of 127.0.0.1 for programs that bind them later, and perhaps once more when they were killed.

A port that only was free a moment ago may be anybody's when the program comes: other tests ask for ports all the time.
"""

from __future__ import annotations

import socket
import sys

__all__ = ["port_for"]

_held: list[int] = []  # sockets, until this process ends


def port_for(*, and_above: int = 0) -> int:
    """A port that nobody gets who asks for any one, nor for this one, as long as this process lives: only who binds it
    to serve there. `and_above`: as is the one so far above it.

    A socket is bound to it, alone, and then allows others that say SO_REUSEADDR, as servers do, beside it; but
    the system takes no such port when it chooses.
    """
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            if and_above:
                try:
                    second.bind(("127.0.0.1", port + and_above))
                except (OSError, OverflowError):
                    continue  # taken, or no port
            if sys.platform == "linux":  # elsewhere the option means less
                for one in (first, second) if and_above else (first,):
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    _held.append(one.detach())
            return port
