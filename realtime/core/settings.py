"""What settings take: their types for completion and type checkers, and the same again for who runs without one.

A wrong type raises TypeError, a value out of bounds LocalProtocolError, an unknown name TypeError; each names the
setting, what it got, and what it takes. Pure.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Literal, TypedDict

from .errors import LocalProtocolError

__all__ = [
    "EndpointSettings",
    "OnFull",
    "OnRate",
    "Rule",
    "ServerSettings",
    "check",
    "clock",
    "flag",
    "having",
    "having_all",
    "instance",
    "names",
    "number",
    "one_of",
    "pair",
    "shown",
    "text",
    "texts",
    "unknown",
    "unknown_transport",
    "whole",
]

OnFull = Literal["wait", "drop_oldest", "close"]
OnRate = Literal["slow", "close"]

INFINITE = float("inf")
# Whole numbers above this are no float's, in which times are reckoned.
LARGEST = 1e308
# So many characters of a wrong value are shown.
SHOWN = 80


class EndpointSettings(TypedDict, total=False):
    """The settings of an endpoint; see Config. One transport may be named alone."""

    transports: str | Sequence[str]
    max_size: int
    max_queue: int
    max_queue_size: int
    max_outbox: int
    max_outbox_size: int
    max_batch: int
    max_batch_size: int
    max_stream_size: int
    max_auth_size: int
    on_full: OnFull
    ping_interval: float | None
    ping_timeout: float | None
    resume_window: float
    open_timeout: float
    close_timeout: float
    request_timeout: float
    poll_interval: tuple[float, float]
    max_message_rate: float | None
    max_byte_rate: float | None
    rate_burst: float
    on_rate: OnRate
    max_rooms: int | None
    max_turn: int
    max_data: int


class ServerSettings(EndpointSettings, total=False):
    """The settings of a server: those of its endpoints, and what counts or keeps things for all of them together."""

    max_sessions: int | None
    max_sessions_per_identity: int | None
    max_sessions_per_address: int | None
    opens_per_second_per_address: float | None
    authorize_ttl: float
    max_tombstones: int


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """What one setting takes."""

    takes: str  # in words
    is_type: Callable[[Any], bool]
    fits: Callable[[Any], bool]  # asked of values of the right type

    def or_none(self, meaning: str) -> Rule:
        """The same, or None."""
        return Rule(
            f"{self.takes}, or None for {meaning}",
            lambda value: value is None or self.is_type(value),
            lambda value: value is None or self.fits(value),
        )


def check(name: str, value: object, rule: Rule) -> None:
    """Raises TypeError for a value of the wrong type, and LocalProtocolError for one out of bounds."""
    if not rule.is_type(value):
        raise TypeError(f"{name}={shown(value)}: takes {rule.takes}, not {_kind(value)}")
    if not rule.fits(value):
        raise LocalProtocolError(f"{name}={shown(value)}: takes {rule.takes}")


def whole(least: int, most: float = INFINITE) -> Rule:
    """A count or a size, from `least` to `most`."""
    bound = "" if most == INFINITE else f" and at most {most:,}"
    return Rule(f"a whole number of at least {least:,}{bound}", _is_whole, lambda value: least <= value <= most)


def number(least: float = 0.0, most: float = INFINITE, *, unit: str = "seconds", above: bool = False) -> Rule:
    """A time or a rate, from `least` (or `above` it) to `most`; always finite."""
    bound = f"above {least:g}" if above else f"of at least {least:g}"
    bound += " and finite" if most == INFINITE else f" and at most {most:,.15g}"

    def fits(value: float) -> bool:
        return (value > least if above else value >= least) and value <= most and value <= LARGEST

    return Rule(f"a number of {unit} {bound}", _is_number, fits)


def pair(least: float, most: float = INFINITE, *, above: bool = False) -> Rule:
    """Two times: the least and the most of something."""
    one = number(least, most, above=above)
    takes = f"(first, longest), each {one.takes}, the first not above the longest"
    return Rule(takes, _is_pair, lambda value: one.fits(value[0]) and one.fits(value[1]) and value[0] <= value[1])


def one_of(*words: str) -> Rule:
    """One of some words."""
    return Rule(" or ".join(map(repr, words)), lambda value: isinstance(value, str), lambda value: value in words)


def text(what: str, pattern: re.Pattern[str] | None = None) -> Rule:
    """Text that matches a pattern as a whole, if there is one."""
    return Rule(
        what, lambda value: isinstance(value, str), lambda value: pattern is None or bool(pattern.fullmatch(value))
    )


def instance(what: str, *kinds: type) -> Rule:
    """What is one of some types."""
    return Rule(what, lambda value: isinstance(value, kinds), lambda value: True)


def flag() -> Rule:
    """Yes or no."""
    return instance("True or False", bool)


def having(method: str, what: str, *, text: bool = True) -> Rule:
    """What has a method, or text unless that is False."""
    return Rule(what, lambda value: (text and isinstance(value, str)) or hasattr(value, method), lambda value: True)


def having_all(protocol: type, what: str) -> Rule:
    """An object that has all methods of a protocol."""
    methods = tuple(name for name in vars(protocol) if not name.startswith("_"))
    return Rule(
        what,
        lambda value: not isinstance(value, type) and all(callable(getattr(value, name, None)) for name in methods),
        lambda value: True,
    )


def clock() -> Rule:
    """What tells the time, or None for the system's clock."""
    takes = "what has now() and call_at(), such as realtime.testing.VirtualClock()"
    rule = Rule(takes, lambda value: hasattr(value, "now") and hasattr(value, "call_at"), lambda value: True)
    return rule.or_none("the system's")


def names(what: str, *, some: bool = True) -> Rule:
    """A sequence of different names: at least one, if `some`."""

    def is_type(value: object) -> bool:
        return isinstance(value, (tuple, list)) and all(isinstance(name, str) for name in value)

    return Rule(
        what, is_type, lambda value: len(set(value)) == len(value) and all(value) and (len(value) > 0 or not some)
    )


def texts() -> Rule:
    """Names and their values, such as headers."""

    def is_type(value: object) -> bool:
        return isinstance(value, Mapping) and all(isinstance(one, str) for pair in value.items() for one in pair)

    return Rule("a mapping of names to values, both text", is_type, lambda value: True)


def unknown(name: str, known: Collection[str], owner: str) -> TypeError:
    """The error for a setting that `owner` does not have."""
    return TypeError(f"{owner} has no setting {name!r}{_nearest(name, known)} Its settings: {', '.join(known)}.")


def unknown_transport(name: str, known: Collection[str], owner: str) -> LocalProtocolError:
    """The error for a transport that `owner` does not have."""
    return LocalProtocolError(
        f"transports: {owner} has no transport {name!r}{_nearest(name, known)} It has {', '.join(known)}."
    )


def shown(value: object) -> str:
    """A value as an error shows it."""
    try:
        text = repr(value)
    except Exception:  # of somebody's own class
        text = f"<{type(value).__name__}>"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _nearest(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {near[0]!r}?" if near else "."


def _kind(value: object) -> str:
    return "None" if value is None else type(value).__name__


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_pair(value: object) -> bool:
    return isinstance(value, (tuple, list)) and len(value) == 2 and all(map(_is_number, value))
