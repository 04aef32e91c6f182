"""The faults of a run: what the proxy is told, and when. Every kind that it knows occurs.

Plain data, made from a random generator; run.py carries it out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from random import Random
from typing import Any, Literal

from realtime.testing import Fault, ProxiedRequest
from realtime.testing.fault_proxy import faults

__all__ = ["FAULTS", "Blow", "Spell", "Weather", "is_ours", "make_weather"]


def is_ours(request: ProxiedRequest) -> bool:
    """Of a session; the page itself is loaded in peace."""
    return "/realtime/" in request.path


def _websockets(request: ProxiedRequest) -> bool:
    return is_ours(request) and request.is_websocket


def _http(request: ProxiedRequest) -> bool:
    return is_ours(request) and not request.is_websocket


def _sends(request: ProxiedRequest) -> bool:
    return is_ours(request) and request.path.endswith("/send")


def _carriers(request: ProxiedRequest) -> bool:
    return is_ours(request) and not request.path.endswith("/send")


@dataclass(frozen=True)
class Spell:
    """A rule of the proxy, in force from one moment to another (seconds)."""

    at: float
    until: float
    fault: Fault

    @property
    def words(self) -> str:
        """In a line, without what is as usual."""
        fault = self.fault
        shown = {
            name: getattr(fault, name)
            for name, field in type(fault).__dataclass_fields__.items()
            if name != "match" and getattr(fault, name) != field.default
        }
        match = getattr(fault.match, "__name__", "all").strip("_")
        return f"{type(fault).__name__}({match}{''.join(f', {name}={value!r}' for name, value in shown.items())})"


@dataclass(frozen=True)
class Blow:
    """What is done to all connections at once, at a moment: for so many seconds, where it lasts."""

    at: float
    kind: Literal["cut-fin", "cut-rst", "unplug", "gone"]
    seconds: float = 0.0


@dataclass(frozen=True)
class Weather:
    """All that happens to the network."""

    kind: Literal["far", "rough", "foul"]
    distance: tuple[Spell, ...]
    """What makes it far away, which is no fault."""
    spells: tuple[Spell, ...]
    blows: tuple[Blow, ...]
    wipes: bool
    """Whether every connection ends when the calm begins; else what is left of them goes on."""

    @property
    def fair(self) -> bool:
        """No fault, only a distance: then everything has to go as planned."""
        return self.kind == "far"

    @property
    def words(self) -> str:
        """In a few words."""
        if self.fair:
            return f"far away ({', '.join(spell.words for spell in self.distance)})"
        far = ", far away" if self.distance else ""
        return f"{self.kind}: {len(self.spells)} rules, {len(self.blows)} blows{far}"


def make_weather(random: Random, seconds: float) -> Weather:
    """The weather of a run that lasts so many seconds."""
    kind = random.choices(("far", "rough", "foul"), (15, 45, 40))[0]
    if kind == "far":
        return Weather("far", _distance(random), (), (), wipes=False)
    spells: list[Spell] = []
    for _ in range(random.randint(6, 20) if kind == "rough" else random.randint(30, 80)):
        at = random.uniform(-0.5, seconds * 0.95)
        until = min(at + random.uniform(0.3, 2.5), seconds)
        spells.append(Spell(max(at, 0.0), until, random.choice(FAULTS)(random)))
    blows = [_blow(random, seconds) for _ in range(random.randint(1, 3) if kind == "rough" else random.randint(4, 10))]
    return Weather(
        "rough" if kind == "rough" else "foul",
        _distance(random) if random.random() < 0.25 else (),
        tuple(sorted(spells, key=lambda spell: spell.at)),
        tuple(sorted(blows, key=lambda blow: blow.at)),
        wipes=random.random() < 0.5,
    )


def _distance(random: Random) -> tuple[Spell, ...]:
    """A round trip: handshakes of WebSockets take longer than requests, or as long, or not as long."""
    trip = random.choice((0.0, 0.06, 0.15, 0.25, 0.4, 0.6))
    return (
        Spell(0.0, inf, faults.DelayRequest(match=_websockets, seconds=trip * random.uniform(0.9, 1.3))),
        Spell(0.0, inf, faults.DelayRequest(match=_http, seconds=trip * random.uniform(0.9, 1.3))),
        Spell(0.0, inf, faults.Lag(match=is_ours, seconds=trip / 2, direction="both")),
    )


def _blow(random: Random, seconds: float) -> Blow:
    kinds: tuple[Literal["cut-fin", "cut-rst", "unplug", "gone"], ...] = ("cut-fin", "cut-rst", "unplug", "gone")
    at = random.uniform(0.1, seconds * 0.9)
    return Blow(at, random.choice(kinds), min(random.uniform(0.1, 1.0), seconds - at))


def _usual(random: Random, match: Any = None) -> dict[str, Any]:
    """For whom a fault is, and how often."""
    return {
        "match": match or random.choice((is_ours, is_ours, _websockets, _http, _sends, _carriers)),
        "times": random.choice((1, 2, 3, 6, 12)),
        "skip": random.choice((0, 0, 0, 1)),
    }


def _end(random: Random) -> Any:
    return random.choice(("fin", "rst"))


def _hang(random: Random) -> Any:
    return random.choice(("fin", "rst", "hang"))


def _status(random: Random) -> int:
    return random.choice((403, 404, 429, 500, 502, 503, 504))


def _refuse_websocket(random: Random) -> Fault:
    return faults.RefuseWebSocket(**_usual(random, _websockets), status=_status(random))


def _strip_upgrade(random: Random) -> Fault:
    return faults.StripUpgrade(**_usual(random, _websockets))


def _hang_websocket(random: Random) -> Fault:
    return faults.HangWebSocket(**_usual(random, _websockets))


def _reset_websocket(random: Random) -> Fault:
    return faults.ResetWebSocket(**_usual(random, _websockets))


def _kill_websocket(random: Random) -> Fault:
    frames = random.choice((0, 1, 1, 2, 5, 20))
    sent_by: Any = random.choice(("server", "client"))
    return faults.KillWebSocket(**_usual(random, _websockets), after_frames=frames, sent_by=sent_by, end=_end(random))


def _black_hole(random: Random) -> Fault:
    size, writes = random.choice(
        ((None, None), (0, None), (random.randint(1, 5000), None), (None, random.randint(1, 9)))
    )
    direction: Any = random.choice(("to_client", "to_server", "both"))
    return faults.BlackHole(**_usual(random), direction=direction, after_bytes=size, after_writes=writes)


def _cut(random: Random) -> Fault:
    limit: dict[str, Any] = random.choice(
        (
            {"after_seconds": random.uniform(0, 1.5)},
            {"after_idle": random.uniform(0.05, 0.8)},
            {"after_bytes": random.choice((0, 1, random.randint(2, 8000)))},
        )
    )
    return faults.Cut(**_usual(random), **limit, end=_end(random))


def _lag(random: Random) -> Fault:
    direction: Any = random.choice(("to_client", "to_server", "both"))
    return faults.Lag(**_usual(random), seconds=random.uniform(0.02, 0.5), direction=direction)


def _answer(random: Random) -> Fault:
    """A gateway's page, or a portal's that says all is well."""
    status = random.choice((200, _status(random)))
    return faults.Answer(
        **_usual(random, random.choice((_http, _sends, _carriers))),
        status=status,
        headers=(("Content-Type", "text/html"),),
        body=b'<html><body>["so"]</body></html>',
    )


def _drop_request(random: Random) -> Fault:
    return faults.DropRequest(**_usual(random), end=_hang(random))


def _delay_request(random: Random) -> Fault:
    return faults.DelayRequest(**_usual(random), seconds=random.uniform(0.05, 1.5))


def _truncate_request(random: Random) -> Fault:
    return faults.TruncateRequest(**_usual(random, _http), keep=random.choice((-1, 0, 1, 20)), end=_end(random))


def _repeat_request(random: Random) -> Fault:
    late: dict[str, Any] = random.choice(({}, {"after_requests": 2}, {"after_seconds": random.uniform(0.05, 1.0)}))
    return faults.RepeatRequest(**_usual(random, _http), **late)


def _reorder_requests(random: Random) -> Fault:
    return faults.ReorderRequests(**_usual(random, _http), max_hold=1.0)


def _drop_response(random: Random) -> Fault:
    return faults.DropResponse(**_usual(random), end=_hang(random))


def _hold_response(random: Random) -> Fault:
    return faults.HoldResponse(**_usual(random), seconds=random.choice((None, random.uniform(0.1, 2.0))))


def _truncate_response(random: Random) -> Fault:
    return faults.TruncateResponse(**_usual(random, _http), keep=random.choice((-1, 0, 1, 20)), end=_end(random))


FAULTS: tuple[Callable[[Random], Fault], ...] = (
    _refuse_websocket,
    _strip_upgrade,
    _hang_websocket,
    _reset_websocket,
    _kill_websocket,
    _black_hole,
    _cut,
    _lag,
    _answer,
    _drop_request,
    _delay_request,
    _truncate_request,
    _repeat_request,
    _reorder_requests,
    _drop_response,
    _hold_response,
    _truncate_response,
)
