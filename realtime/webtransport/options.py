"""What an application says of its WebTransport. aioquic is imported when one is made, and not before."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from ..core.errors import LocalProtocolError
from ..core.settings import Rule, check, number, whole

__all__ = ["WebTransport"]

PORT = Rule(
    "a port from 0 to 65535 (0: any that is free)",
    lambda value: isinstance(value, int) and not isinstance(value, bool),
    lambda value: 0 <= value <= 65_535,
)
TEXT = Rule(
    "a host's name or address, or None",
    lambda value: value is None or isinstance(value, str),
    lambda value: value != "",
)
FILE = Rule("the path of a file", lambda value: isinstance(value, str | os.PathLike), lambda _: True)
RULES = {
    "port": PORT,
    "certificate": FILE,
    "key": FILE,
    "host": TEXT,
    "public_host": TEXT,
    "public_port": PORT.or_none("the port that is listened on"),
    "idle_timeout": number(1),
    "max_connections": whole(1),
    "max_handshakes": whole(1),
}


@dataclass(frozen=True, kw_only=True)
class WebTransport:
    """WebTransport beside the application's own port: `realtime.setup(app, rt, webtransport=realtime.WebTransport(…))`.

    It listens on the UDP `port` of `host` (None: of all addresses) while the application runs, with the `certificate`
    (and the chain behind it) and the `key` of these files, in PEM; when they change, connections from then on get the
    new ones. Clients are told to go to that port of the host that they have for HTTP, unless `public_port` and
    `public_host` say otherwise, and the hash of a certificate that browsers take by its hash alone. A connection that
    nothing came on for `idle_timeout` seconds is gone. At most `max_connections` are kept, `max_handshakes` of them
    without a session; from half of these on a client shows that its address is its own before anything is kept of it.

    Raises LocalProtocolError where aioquic is not installed, for files that are no certificate with its key, and for a
    value out of bounds; TypeError for one of the wrong type.
    """

    port: int
    certificate: str | os.PathLike[str]
    key: str | os.PathLike[str]
    host: str | None = None
    public_host: str | None = None
    public_port: int | None = None
    idle_timeout: float = 60.0
    max_connections: int = 10_000
    max_handshakes: int = 1_000

    def __post_init__(self) -> None:
        for name, rule in RULES.items():
            value: Any = getattr(self, name)
            check(name, value, rule)
        try:
            from .certificates import Certificates
        except ImportError as error:
            raise LocalProtocolError(
                f"WebTransport needs aioquic: pip install 'aiohttp-realtime[webtransport]' ({error})"
            ) from None
        Certificates(self.certificate, self.key)
