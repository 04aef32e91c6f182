"""What an endpoint says of its Engine.IO clients. Pure data, checked when made."""

from __future__ import annotations

import dataclasses
import re

from ...core.errors import LocalProtocolError

__all__ = ["TRANSPORTS", "EngineIO"]

POLLING = "polling"
WEBSOCKET = "websocket"
TRANSPORTS = (POLLING, WEBSOCKET)
VERSIONS = (4, 3)
# aiohttp never matches a quoted part of a path, and reads braces as variables.
_PATH = re.compile(r"(/[A-Za-z0-9._~!$&'()*+,;=:@-]+)+/?")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 6265 §4.1.1
_ATTRIBUTES = re.compile(r"[\x20-\x7e]*")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class EngineIO:
    """How an endpoint serves Engine.IO clients: `rt.endpoint("/chat", engineio=realtime.EngineIO(path="/engine.io"))`.

    `path` is where clients ask, from the root of the application that setup() is given, whatever the prefix; with and
    without a slash at its end. Times in seconds, to the millisecond; sizes in bytes. Raises TypeError for an unknown
    option and LocalProtocolError for a value out of bounds.
    """

    path: str = "/engine.io/"
    ping_interval: float = 25.0
    ping_timeout: float = 20.0
    max_payload: int = 1_000_000  # of a POST's body, and of one message over WebSocket
    max_packets: int = 16  # in the answer to one poll: python-engineio's client refuses more
    transports: tuple[str, ...] = TRANSPORTS
    allow_upgrades: bool = True
    upgrade_timeout: float = 10.0
    versions: tuple[int, ...] = VERSIONS
    cookie: str | None = None  # the name of a cookie that repeats the sid, for balancers; None for none
    cookie_attributes: str = "Path=/; HttpOnly; SameSite=Lax"

    def __post_init__(self) -> None:
        fine = _PATH.fullmatch(str(self.path)) is not None
        self._check("path", fine, 'starts with "/", names something, and needs no quoting')
        for name in ("ping_interval", "ping_timeout", "upgrade_timeout"):
            self._check(name, 0.001 <= getattr(self, name) <= 86_400, "must be from 0.001 to 86400 seconds")
        self._check("max_payload", self.max_payload >= 1, "must be at least 1")
        self._check("max_packets", self.max_packets >= 4, "must be at least 4")  # a head, two heartbeats, a message
        for name, known in (("transports", TRANSPORTS), ("versions", VERSIONS)):
            value = getattr(self, name)
            fine = isinstance(value, tuple) and len(value) > 0 and set(value) <= {*known}
            self._check(name, fine, f"must be a tuple of some of {known}")
        fine = self.cookie is None or _TOKEN.fullmatch(self.cookie) is not None
        self._check("cookie", fine, "must be the name of a cookie, or None for none")
        self._check("cookie_attributes", _ATTRIBUTES.fullmatch(self.cookie_attributes) is not None, "must be ASCII")

    def _check(self, name: str, fine: bool, what: str) -> None:
        if not fine:
            raise LocalProtocolError(f"engineio: {name}={getattr(self, name)!r}: {what}")

    @classmethod
    def of(cls, value: EngineIO | str) -> EngineIO:
        """These options, or those of a path alone."""
        return cls(path=value) if isinstance(value, str) else value

    @property
    def upgrades(self) -> tuple[str, ...]:
        """What a session over polling may upgrade to."""
        return (WEBSOCKET,) if self.allow_upgrades and WEBSOCKET in self.transports else ()

    @property
    def route(self) -> str:
        """The path without the slash at its end."""
        return self.path.rstrip("/")
