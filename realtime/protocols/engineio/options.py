"""What an endpoint says of its Engine.IO clients. Pure data, checked when made."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

from ...core.dialects import Dialect
from ...core.settings import Rule, check, flag, number, text, whole

__all__ = ["TRANSPORTS", "EngineIO"]

POLLING = "polling"
WEBSOCKET = "websocket"
TRANSPORTS = (POLLING, WEBSOCKET)
VERSIONS = (4, 3)
# aiohttp never matches a quoted part of a path, and reads braces as variables.
_PATH = re.compile(r"(/[A-Za-z0-9._~!$&'()*+,;=:@-]+)++/?")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 6265 §4.1.1
_ATTRIBUTES = re.compile(r"[\x20-\x7e]*")


def _some_of(known: tuple[Any, ...]) -> Rule:
    """A tuple of some of what is known."""

    def fits(value: Any) -> bool:
        return len(value) > 0 and all(one in known for one in value)

    return Rule(f"some of {known}, or one alone", lambda value: isinstance(value, tuple), fits)


_RULES = {
    "path": text('a path that starts with "/", names something, and needs no quoting', _PATH),
    "ping_interval": number(0.001, 86_400),
    "ping_timeout": number(0.001, 86_400),
    "max_payload": whole(1),
    "max_packets": whole(4),  # a head, two heartbeats, a message
    "transports": _some_of(TRANSPORTS),
    "allow_upgrades": flag(),
    "upgrade_timeout": number(0.001, 86_400),
    "versions": _some_of(VERSIONS),
    "cookie": text("the name of a cookie", _TOKEN).or_none("none"),
    "cookie_attributes": text("ASCII", _ATTRIBUTES),
}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class EngineIO(Dialect):
    """How an endpoint serves Engine.IO clients: `rt.endpoint("/chat", engineio=realtime.EngineIO(path="/engine.io"))`.

    `path` is where clients ask, from the root of the application that setup() is given, whatever the prefix; with and
    without a slash at its end. Times in seconds, to the millisecond; sizes in bytes. Raises TypeError for an unknown
    option or a value of the wrong type, and LocalProtocolError for one out of bounds.
    """

    path: str = "/engine.io/"
    ping_interval: float = 25.0
    ping_timeout: float = 20.0
    max_payload: int = 1_000_000  # of a POST's body, and of one message over WebSocket
    # In the answer to one poll: python-engineio's client refuses more. Whoever is known for JavaScript gets a batch.
    max_packets: int = 16
    transports: tuple[str, ...] = TRANSPORTS
    allow_upgrades: bool = True
    upgrade_timeout: float = 10.0
    versions: tuple[int, ...] = VERSIONS
    cookie: str | None = None  # the name of a cookie that repeats the sid, for balancers; None for none
    cookie_attributes: str = "Path=/; HttpOnly; SameSite=Lax"

    def __post_init__(self) -> None:
        for name in ("transports", "versions"):  # lists, as JSON and TOML have them, and one alone, become tuples
            value: Any = getattr(self, name)
            alone = isinstance(value, (str, int))
            object.__setattr__(self, name, (value,) if alone else tuple(value) if isinstance(value, list) else value)
        for name, rule in _RULES.items():
            check(f"{type(self).__name__.lower()}: {name}", getattr(self, name), rule)

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
        """The path from the application's root, without the slash at its end."""
        return self.path.rstrip("/")

    def handshake(self, sid: str, *, polling: bool) -> str:
        """What the server says of a session that has been opened ("Handshake"); intervals are milliseconds."""
        members = {
            "sid": sid,
            "upgrades": list(self.upgrades) if polling else [],
            "pingInterval": round(self.ping_interval * 1000),
            "pingTimeout": round(self.ping_timeout * 1000),
            "maxPayload": self.max_payload,
        }
        return json.dumps(members, separators=(",", ":"))
