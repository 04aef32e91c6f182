"""The settings of a server or an endpoint, with their limits (docs/configuration.md has the table).

Pure data: checked when made, so that a wrong value fails where it was written.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

from .errors import LocalProtocolError
from .frames import Window, window_of
from .settings import OnFull, OnRate, Rule, check, names, number, one_of, pair, whole

__all__ = ["INITIAL_WINDOW", "LONGEST", "MOST", "OPEN_SIZE", "RULES", "Config", "OnFull", "OnRate"]

# What a client may send before it has seen `o`; no server's window is smaller (docs/protocol.md §6).
INITIAL_WINDOW = Window(16, 65_536)
# What an open may say besides its auth data, in characters.
OPEN_SIZE = 32_768
# What the name and the cursor of a room take in a frame at most, with every character escaped: bytes.
PLACE = 6 * 256 + 128
# JSON may escape a byte by six.
ESCAPED = 6

# Carriers that live on timers: hidden pages' timers run about once a minute (docs/protocol.md §7).
TIMER_GRACE = 90.0
# How long a poll is held where there are no pings.
HOLD_WITHOUT_PINGS = 25.0

# No count or size is larger: readers of WebSockets count the bytes of a message in 32 bits, and what follows from the
# settings, such as max_body, has to be a number that every client can read (docs/protocol.md §5).
MOST = 2**31
# Nor any time that clients are told, in seconds: 31 years.
LONGEST = 1e9

# What each setting takes, in the order of Config.
RULES: dict[str, Rule] = {
    "transports": names('different names of transports, such as ("websocket", "polling"), or one alone'),
    "max_size": whole(1, MOST),
    "max_queue": whole(INITIAL_WINDOW.messages, MOST),
    "max_queue_size": whole(INITIAL_WINDOW.size, MOST),
    "max_outbox": whole(1, MOST),
    "max_outbox_size": whole(1, MOST),
    "max_batch": whole(3, MOST),  # a head, a message and the answer to a go-away
    "max_batch_size": whole(1, MOST),
    "max_stream_size": whole(4096, MOST),  # a stream brings more than its head before it is recycled
    "max_auth_size": whole(1, MOST),
    "on_full": one_of("wait", "drop_oldest", "close"),
    "ping_interval": number(0, LONGEST, above=True).or_none("no pings"),
    "ping_timeout": number(0, LONGEST, above=True).or_none("no pings that have to be answered"),
    "resume_window": number(0, LONGEST, above=True),
    "open_timeout": number(0, above=True),
    "close_timeout": number(0, above=True),
    "request_timeout": number(0, above=True),
    "poll_interval": pair(0, TIMER_GRACE / 2, above=True),
    "max_message_rate": number(0, above=True, unit="messages a second").or_none("no limit"),
    "max_byte_rate": number(0, above=True, unit="bytes a second").or_none("no limit"),
    "rate_burst": number(0, above=True),
    "on_rate": one_of("slow", "close"),
    "max_rooms": whole(1).or_none("no limit"),
    "max_turn": whole(1),
    "max_data": whole(4),  # null
    "max_sessions": whole(1).or_none("no limit"),
    "max_sessions_per_identity": whole(1).or_none("no limit"),
    "max_sessions_per_address": whole(1).or_none("no limit"),
    "opens_per_second_per_address": number(0, above=True, unit="opens a second").or_none("no limit"),
    "authorize_ttl": number(0),
    "max_tombstones": whole(0),
}


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


class Derived:
    """What follows from the settings: reckoned once for each Config, since every message asks for some of it."""

    __slots__ = (
        "_told",
        "hold",
        "lifetime",
        "liveness",
        "max_answer",
        "max_body",
        "max_open_body",
        "metered",
        "poll_grace",
        "silence",
        "timer_grace",
        "window",
    )

    # The receive window that this side announces.
    window: Window
    # The largest HTTP body taken, in bytes: a message of max_size fits, and max_batch_size of them, with every
    # character escaped.
    max_body: int
    # The largest HTTP body taken of who has not named a session, in bytes: an open and the initial window, with every
    # character escaped.
    max_open_body: int
    # At a client: the most bytes that one batch from the server has. What the window lets through, or one message that
    # is larger than it, with every character escaped, the framing of each message, its room and cursor, and what
    # else is said.
    max_answer: int
    # ping_interval + ping_timeout, where None counts as 0.
    liveness: float
    # After how long without a sign of life a carrier is dropped; infinite where there are no pings.
    silence: float
    # How long a poll without news is held.
    hold: float
    # How long after the answer to a held poll the next may take before its client counts as gone.
    poll_grace: float
    # How long after the answer to a plain poll.
    timer_grace: float
    # resume_window + ping_interval + ping_timeout: the life of a tombstone and the patience of a close.
    lifetime: float
    # Whether a session's messages have a rate.
    metered: bool
    # What a protocol tells its clients of these settings, by the transport: kept here by who words it.
    _told: dict[str, str]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Config(Derived):
    """Settings of a server, or of one endpoint (docs/configuration.md). Times in seconds, sizes in bytes of payload.

    Raises TypeError for an unknown setting or a value of the wrong type, LocalProtocolError for one out of bounds.
    """

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
    open_timeout: float = 15.0
    close_timeout: float = 10.0
    request_timeout: float = 30.0
    poll_interval: tuple[float, float] = (0.1, 5.0)
    max_message_rate: float | None = None
    max_byte_rate: float | None = None
    rate_burst: float = 5.0
    on_rate: OnRate = "slow"
    max_rooms: int | None = 1000
    max_turn: int = 1000
    max_data: int = 65_536
    max_sessions: int | None = 100_000
    max_sessions_per_identity: int | None = None
    max_sessions_per_address: int | None = None
    opens_per_second_per_address: float | None = None
    authorize_ttl: float = 60.0
    max_tombstones: int = 100_000

    def __post_init__(self) -> None:
        # One name alone is a tuple of one; lists, as JSON and TOML have them, become tuples.
        transports: Any = self.transports
        object.__setattr__(self, "transports", (transports,) if isinstance(transports, str) else _tuple(transports))
        object.__setattr__(self, "poll_interval", _tuple(self.poll_interval))
        for name, rule in RULES.items():
            check(name, getattr(self, name), rule)
        rate = self.max_byte_rate
        if self.on_rate == "close" and rate is not None and rate * self.rate_burst < self.max_size:
            raise LocalProtocolError(
                f"max_byte_rate={rate!r}: takes so much, with on_rate='close', that rate_burst seconds of it let"
                " max_size pass"
            )
        self._derive()

    def _derive(self) -> None:
        interval, timeout = self.ping_interval, self.ping_timeout
        hold = interval or HOLD_WITHOUT_PINGS
        liveness = 0.0 if interval is None else interval + (timeout or 0.0)
        max_body = ESCAPED * max(self.max_batch_size, self.max_size, self.max_auth_size) + 65_536
        derived = {
            "window": window_of(self.max_queue, self.max_queue_size),
            "max_body": max_body,
            "max_open_body": min(max_body, ESCAPED * (OPEN_SIZE + self.max_auth_size + INITIAL_WINDOW.size)),
            "max_answer": 6 * max(self.max_queue_size, self.max_size) + (16 + PLACE) * self.max_queue + 65_536,
            "liveness": liveness,
            "silence": float("inf") if interval is None or timeout is None else interval + timeout,
            "hold": hold,
            "poll_grace": timeout or hold,
            "timer_grace": max(TIMER_GRACE, liveness),
            "lifetime": self.resume_window + liveness,
            "metered": self.max_message_rate is not None or self.max_byte_rate is not None,
            "_told": {},
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy is made from the settings, too."""
        settings = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return functools.partial(type(self), **settings), ()
