"""What one run does: sessions, messages, faults and the end, all from a seed and the run's number.

Pure: the same numbers make the same plan for ever, but for the time that the machine adds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Literal, TypeAlias

from ..abilities import TRANSPORTS
from .weather import Weather, make_weather

__all__ = ["CLIENT_CODE", "ENDS", "SERVER_CODE", "End", "Plan", "Send", "SessionPlan", "make_plan"]

# What the applications of the two ends close with. Whatever else a session ends with, nobody asked for.
CLIENT_CODE = 3001
SERVER_CODE = 3002

End: TypeAlias = Literal["close", "leave", "drain", "outage", "restart"]
"""How a run ends: each session is closed by one of its ends; the page is left; the server drains; there is no network
for longer than the server keeps sessions; or the server is killed in the midst of it all, and one that knows nothing
comes in its place, which goes on with those who had no session yet."""

ENDS: dict[End, int] = {"close": 55, "leave": 12, "drain": 12, "outage": 9, "restart": 12}
"""How often each, in a hundred."""

# Seconds. A session that was cut off while the faults lasted has seven times as long to come back: none may end.
SENDING = 4.0
RESUME_WINDOW = 30.0
SHORT_WINDOW = 2.0


@dataclass(frozen=True)
class Send:
    """A message: when, in seconds from the start, and how large."""

    at: float
    size: int
    binary: bool


@dataclass(frozen=True)
class SessionPlan:
    """One session of the page."""

    name: str
    transports: tuple[str, ...]
    """Those allowed; empty: the client's default."""
    options: dict[str, Any]
    """Other options of the client."""
    up: tuple[Send, ...]
    down: tuple[Send, ...]
    lazy: float
    """Seconds that the server's handler spends on each message."""
    closer: Literal["client", "server"]
    early: float | None
    """When the closer closes, if it does so in the middle of everything."""


@dataclass(frozen=True)
class Away:
    """The user goes to another page and comes back: when, in seconds from the start."""

    at: float
    until: float


@dataclass(frozen=True)
class Plan:
    """One run: a page, its sessions, and what they go through."""

    seed: int
    number: int
    sessions: tuple[SessionPlan, ...]
    weather: Weather
    end: End
    cross: bool
    """Whether the page is of another origin than the sessions."""
    resume_window: float
    away: Away | None
    gap: float
    """Seconds between the end of a server and the next one's start."""

    @property
    def words(self) -> str:
        """In a line."""
        sessions = "; ".join(
            f"{session.name}: {'+'.join(session.transports) or 'default'}"
            f"{f', closed by the {session.closer} at {session.early:.1f}' if session.early is not None else ''}"
            for session in self.sessions
        )
        origin = "cross-origin" if self.cross else "same origin"
        away = f", away from {self.away.at:.1f} to {self.away.until:.1f}" if self.away else ""
        return f"{self.weather.words}{away}, then {self.end}; {origin}; {sessions}"


def make_plan(
    seed: int,
    number: int,
    transports: Sequence[str] = TRANSPORTS,
    sessions: int = 5,
    *,
    pages: bool = True,
) -> Plan:
    """The plan with this number: `transports` are those that the engine has, `sessions` the most that a page opens,
    `pages` whether there are any, which are left."""
    random = Random(f"{seed}/{number}")
    ends = [end for end in ENDS if pages or end != "leave"]
    end = random.choices(ends, [ENDS[one] for one in ends])[0]
    weather = make_weather(random, SENDING)
    # Who is in a hurry meets more in the same time; the rest is as applications have it. It takes long to give up then,
    # and what is far away needs time.
    haste = 1.0 if end in ("outage", "restart") else 0.0 if weather.distance else 0.7
    names = [f"s{n}" for n in range(random.randint(1, sessions))]
    away = _away(random) if pages and random.random() < 0.2 else None
    return Plan(
        seed=seed,
        number=number,
        sessions=tuple(_session(random, name, transports, haste) for name in names),
        weather=weather,
        end=end,
        # Where the faults would keep pages from being loaded, or the server of the sessions goes, pages have another.
        cross=random.random() < 0.4 or away is not None or end == "restart",
        resume_window=SHORT_WINDOW if end == "outage" else RESUME_WINDOW,
        away=away,
        gap=random.choice((0.0, random.uniform(0, 1.5))),
    )


def _away(random: Random) -> Away:
    at = random.uniform(0.3, SENDING * 0.8)
    return Away(at, at + random.uniform(0.1, 1.5))


def _session(random: Random, name: str, transports: Sequence[str], haste: float) -> SessionPlan:
    chosen: tuple[str, ...] = ()
    if random.random() < 0.6:
        chosen = tuple(random.sample(transports, random.randint(1, 3)))
        if "websocket" not in chosen and random.random() < 0.5:
            chosen = ("websocket", *chosen[1:])
    options: dict[str, Any] = {}
    if random.random() < haste:
        options = {"attachTimeout": 1000, "postTimeout": 1000, "raceDelay": random.choice((50, 250))}
    return SessionPlan(
        name=name,
        transports=chosen,
        options=options,
        up=_sends(random),
        down=_sends(random),
        lazy=random.choice((0.0, 0.0, 0.0, 0.002, 0.02)),
        closer=random.choice(("client", "server")),
        early=random.uniform(0.2, SENDING) if random.random() < 0.15 else None,
    )


def _sends(random: Random) -> tuple[Send, ...]:
    """Single messages and bursts of them, most of them small."""
    sends: list[Send] = []
    for _ in range(random.randint(3, 20)):
        at = random.uniform(0, SENDING)
        burst = random.choice((1, 1, 1, 2, 5, 20)) if len(sends) < 100 else 1
        sends += [Send(at, _size(random), random.random() < 0.3) for _ in range(burst)]
    return tuple(sorted(sends, key=lambda send: send.at))


def _size(random: Random) -> int:
    """Seldom above the windows and the bodies of requests that are cut into several."""
    if random.random() < 0.99:
        return int(2 ** random.uniform(0, 11)) - 1
    return random.choice((65_500, 65_536, 70_000, 200_000))
