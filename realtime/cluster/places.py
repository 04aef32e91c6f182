"""Where workers listen, and by which address the others reach them: Unix sockets on one machine, and TCP.

The path of a Unix socket means something on its own machine only, and to processes that see the same files. Elsewhere
nobody may be there, or another worker, while the one that is meant is well. So an address says where that is.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
from functools import cache

from ..core.errors import LocalProtocolError
from ..core.settings import shown

__all__ = ["PLACES", "Place", "address_of", "place_at", "place_of", "this_machine"]

# Where a Unix socket may be: Linux takes 107 bytes.
MAX_PATH = 100

_TCP = re.compile(r"tcp://(\[[0-9A-Fa-f:.%a-z]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")
PLACES = 'unix:/run/chat/ (a folder, in which each worker makes a socket), unix:/run/chat/1.sock, or "tcp://10.0.0.5:0"'


@cache
def this_machine() -> str:
    """Stands for the files that this process sees: where the system tells (Linux: /proc), those of this boot of this
    machine in this mount namespace, so that a container is a machine of its own. Elsewhere those of this host."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            seen = f"{file.read().strip()} {os.stat('/proc/self/ns/mnt').st_ino}"
    except OSError:
        seen = platform.node()
    return hashlib.sha256(seen.encode("utf-8", "surrogateescape")).hexdigest()[:16]


class Place:
    """Where a worker listens, or is reached: a Unix socket (or a folder for one), or a host and a port."""

    __slots__ = ("host", "path", "port")

    def __init__(self, path: str = "", host: str = "", port: int = 0) -> None:
        self.path: str = path  # ends with a slash where each worker makes a socket in it
        self.host: str = host  # IPv6 without its brackets
        self.port: int = port  # 0: any

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"tcp://[{self.host}]:{self.port}" if ":" in self.host else f"tcp://{self.host}:{self.port}"

    def __repr__(self) -> str:
        return f"<Place {self}>"


def place_of(text: str, name: str = "address") -> Place:
    """Reads unix:/path and tcp://host:port. Raises LocalProtocolError."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if path.startswith("/") and len(path.encode()) <= MAX_PATH and "\0" not in path:
            return Place(path)
        raise LocalProtocolError(
            f"{name}={shown(text)}: a Unix socket has an absolute path of at most {MAX_PATH} bytes: {PLACES}"
        )
    found = _TCP.fullmatch(text)
    if found is None or int(found[2]) > 65_535:
        raise LocalProtocolError(f"{name}={shown(text)}: takes {PLACES}")
    return Place(host=found[1].strip("[]"), port=int(found[2]))


def address_of(place: Place) -> str:
    """What the others are told."""
    return f"{place}#{this_machine()}" if place.path else str(place)


def place_at(address: str) -> tuple[Place, bool]:
    """Reads what address_of() has made; and whether it proves something that nobody is there, or somebody else. Raises
    LocalProtocolError."""
    if not address.startswith("unix:"):
        return place_of(address), True
    path, mark, machine = address.rpartition("#")
    return place_of(path if mark else address), machine == this_machine()
