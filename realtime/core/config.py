"""The settings of a server or an endpoint, with their limits (docs/configuration.md has the table).

Pure data: checked when made, so that a wrong value fails where it was written.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

from .errors import LocalProtocolError
from .frames import Window

__all__ = ["INITIAL_WINDOW", "OPEN_SIZE", "Config", "OnFull", "OnRate"]

OnFull = Literal["wait", "drop_oldest", "close"]
OnRate = Literal["slow", "close"]

# What a client may send before it has seen `o`; no server's window is smaller (docs/protocol.md §6).
INITIAL_WINDOW = Window(16, 65_536)
# What an open may say besides its auth data, in characters.
OPEN_SIZE = 32_768
# JSON may escape a byte by six.
ESCAPED = 6

# Carriers that live on timers: hidden pages' timers run about once a minute (docs/protocol.md §7).
TIMER_GRACE = 90.0
# How long a poll is held where there are no pings.
HOLD_WITHOUT_PINGS = 25.0


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Settings of a server, or of one endpoint. Times in seconds, sizes in bytes of payload."""

    transports: tuple[str, ...] = (
        "websocket",
        "sse",
        "xhr_streaming",
        "multipart",
        "htmlfile",
        "long_polling",
        "polling",
        "jsonp",
    )
    max_size: int = 1_048_576
    max_queue: int = 256
    max_queue_size: int = 1_048_576
    max_outbox: int = 1024
    max_outbox_size: int = 4_194_304
    max_batch: int = 1024
    max_batch_size: int = 262_144
    max_stream_size: int = 1_048_576
    max_auth_size: int = 16_384
    on_full: OnFull = "wait"
    ping_interval: float | None = 20.0
    ping_timeout: float | None = 20.0
    resume_window: float = 120.0
    open_timeout: float = 10.0
    close_timeout: float = 10.0
    request_timeout: float = 30.0
    poll_interval: tuple[float, float] = (0.1, 5.0)
    max_message_rate: float | None = None
    max_byte_rate: float | None = None
    rate_burst: float = 5.0
    on_rate: OnRate = "slow"
    max_sessions: int | None = 100_000
    max_sessions_per_identity: int | None = None
    max_sessions_per_address: int | None = None
    opens_per_second_per_address: float | None = None
    authorize_ttl: float = 60.0
    max_tombstones: int = 100_000

    def __post_init__(self) -> None:
        for name in ("max_size", "max_outbox", "max_outbox_size", "max_batch_size", "max_auth_size"):
            self._check(name, getattr(self, name) >= 1, "must be at least 1")
        # A stream brings more than its head before it is recycled.
        self._check("max_stream_size", self.max_stream_size >= 4096, "must be at least 4096")
        # A head, a message and the answer to a go-away.
        self._check("max_batch", self.max_batch >= 3, "must be at least 3")
        self._check("max_queue", self.max_queue >= INITIAL_WINDOW.messages, "must be at least 16")
        self._check("max_queue_size", self.max_queue_size >= INITIAL_WINDOW.size, "must be at least 65536")
        for name in ("resume_window", "open_timeout", "close_timeout", "request_timeout"):
            self._check(name, 0 < getattr(self, name) < float("inf"), "must be above 0 seconds, and finite")
        for name in ("ping_interval", "ping_timeout"):
            value = getattr(self, name)
            fine = value is None or 0 < value < float("inf")
            self._check(name, fine, "must be above 0 seconds and finite, or None for no pings")
        for name in ("max_sessions", "max_sessions_per_identity", "max_sessions_per_address"):
            value = getattr(self, name)
            self._check(name, value is None or value >= 1, "must be at least 1, or None for no limit")
        self._check("max_tombstones", self.max_tombstones >= 0, "must not be negative")
        for name in ("max_message_rate", "max_byte_rate", "opens_per_second_per_address"):
            value = getattr(self, name)
            fine = value is None or 0 < value < float("inf")
            self._check(name, fine, "must be above 0 a second and finite, or None for no limit")
        self._check("rate_burst", 0 < self.rate_burst < float("inf"), "must be above 0 seconds, and finite")
        self._check("on_rate", self.on_rate in ("slow", "close"), "is slow or close")
        if self.on_rate == "close" and self.max_byte_rate is not None:
            fine = self.max_byte_rate * self.rate_burst >= self.max_size
            self._check("max_byte_rate", fine, "with on_rate='close', rate_burst seconds of it must let max_size pass")
        self._check("authorize_ttl", 0 <= self.authorize_ttl < float("inf"), "must be 0 seconds or more, and finite")
        self._check("on_full", self.on_full in ("wait", "drop_oldest", "close"), "is wait, drop_oldest or close")
        least, most = self.poll_interval
        self._check("poll_interval", 0 < least <= most, "must be (least, most) with 0 < least <= most")
        self._check("poll_interval", most <= TIMER_GRACE / 2, "must not exceed 45 seconds")
        self._check("transports", len(self.transports) > 0, "must name at least one transport")

    def _check(self, name: str, fine: bool, what: str) -> None:
        if not fine:
            raise LocalProtocolError(f"{name}={getattr(self, name)!r}: {what}")

    @property
    def window(self) -> Window:
        """The receive window this side announces."""
        return Window(self.max_queue, self.max_queue_size)

    @property
    def max_body(self) -> int:
        """The largest HTTP body taken, in bytes: a message of max_size fits, and max_batch_size of them, with every
        character escaped."""
        return ESCAPED * max(self.max_batch_size, self.max_size, self.max_auth_size) + 65_536

    @property
    def max_open_body(self) -> int:
        """The largest HTTP body taken of who has not named a session, in bytes: an open and the initial window, with
        every character escaped."""
        return min(self.max_body, ESCAPED * (OPEN_SIZE + self.max_auth_size + INITIAL_WINDOW.size))

    @property
    def max_answer(self) -> int:
        """At a client: the most bytes that one batch from the server has. What the window lets through, or one message
        that is larger than it, with every character escaped, the framing of each message, and what else is said."""
        return 6 * max(self.max_queue_size, self.max_size) + 16 * self.max_queue + 65_536

    @property
    def liveness(self) -> float:
        """ping_interval + ping_timeout, where None counts as 0."""
        return 0.0 if self.ping_interval is None else self.ping_interval + (self.ping_timeout or 0.0)

    @property
    def silence(self) -> float:
        """After how long without a sign of life a carrier is dropped; infinite where there are no pings."""
        if self.ping_interval is None or self.ping_timeout is None:
            return float("inf")
        return self.ping_interval + self.ping_timeout

    @property
    def hold(self) -> float:
        """How long a poll without news is held."""
        return self.ping_interval or HOLD_WITHOUT_PINGS

    @property
    def lifetime(self) -> float:
        """resume_window + ping_interval + ping_timeout: the life of a tombstone and the patience of a close."""
        return self.resume_window + self.liveness
