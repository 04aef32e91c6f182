"""What connect() takes: the types for who hands its options on, and the checks for everybody."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypedDict

import aiohttp

from ..clock import Clock
from ..core.cursors import MAX_CURSORS, is_cursor, is_room_name
from ..core.errors import LocalProtocolError
from ..core.settings import Rule, check, flag, instance, names, number, pair, texts, unknown, unknown_transport
from ..core.settings import clock as clock_rule

__all__ = ["ConnectSettings", "Nothing", "check_settings", "check_transports", "check_unknown"]


class ConnectSettings(TypedDict, total=False):
    """The keyword arguments of connect()."""

    transports: str | Sequence[str] | None
    headers: Mapping[str, str] | None
    auth: Any
    cursors: Mapping[str, str] | None
    http: aiohttp.ClientSession | None
    upgrade: bool
    race_delay: float
    open_timeout: float
    attach_timeout: float
    post_timeout: float
    close_timeout: float
    backoff: tuple[float, float]
    upgrade_interval: tuple[float, float]
    max_size: int
    max_queue: int
    max_queue_size: int
    max_outbox: int
    max_outbox_size: int
    clock: Clock | None


class Nothing(TypedDict):
    """No further keyword arguments, for type checkers; without one, they are named by an error that helps."""


# What is in no header (RFC 9110 §5.5).
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
# What Config does not check.
RULES = {
    "transports": names('different names of transports, such as ("websocket", "polling"), or one alone'),
    "headers": texts().or_none("none"),
    "cursors": Rule(
        f"a mapping of at most {MAX_CURSORS} rooms to their cursors, as session.cursors gives it, or None",
        lambda value: (
            value is None
            or (isinstance(value, Mapping) and all(isinstance(text, str) for item in value.items() for text in item))
        ),
        lambda value: (
            value is None
            or (
                len(value) <= MAX_CURSORS
                and all(is_room_name(room) and is_cursor(cursor) for room, cursor in value.items())
            )
        ),
    ),
    "http": instance("an aiohttp.ClientSession", aiohttp.ClientSession).or_none("one of its own"),
    "upgrade": flag(),
    "race_delay": number(0),
    "open_timeout": number(0, above=True),
    "attach_timeout": number(0, above=True),
    "post_timeout": number(0, above=True),
    "backoff": pair(0),
    "upgrade_interval": pair(0),
    "clock": clock_rule(),
}


def check_settings(values: Mapping[str, object]) -> None:
    """Raises TypeError for a value of the wrong type, and LocalProtocolError for one out of bounds."""
    for name, rule in RULES.items():
        if name in values:
            check(name, values[name], rule)
    headers: Any = values.get("headers") or {}
    for name, value in headers.items():
        if CONTROL.search(name) or CONTROL.search(value):  # of the value, which may be a secret, nothing is shown
            raise LocalProtocolError(
                f"headers: {name!r} or its value has a control character in it, such as the end of a line"
            )


def check_transports(transports: Any, mine: Collection[str], browsers_only: Collection[str]) -> tuple[str, ...]:
    """The names of transports; one alone is a tuple of one. Raises TypeError or LocalProtocolError."""
    listed = (transports,) if isinstance(transports, str) else transports
    check("transports", listed, RULES["transports"])
    for name in listed:
        if name in browsers_only:
            raise LocalProtocolError(
                f"transports: only browsers run {name!r}, which needs a page to call; this client has {', '.join(mine)}"
            )
        if name not in mine:
            raise unknown_transport(name, mine, "this client")
    return tuple(listed)


def check_unknown(settings: Mapping[str, object]) -> None:
    """Raises TypeError for what connect() does not know."""
    for name in settings:
        raise unknown(name, tuple(ConnectSettings.__annotations__), "realtime.connect()")
