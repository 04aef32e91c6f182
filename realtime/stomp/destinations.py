"""What a destination means: a room, a queue, a handler of the application, or what is one identity's."""

from __future__ import annotations

import enum
import re
from urllib.parse import quote, unquote

from ..core.errors import LocalProtocolError

__all__ = ["Kind", "Template", "kind_of", "own_room", "room_for_user"]

SHOWN = 64
_NAME = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


class Kind(enum.Enum):
    """What begins a destination."""

    TOPIC = "/topic/"
    QUEUE = "/queue/"
    APP = "/app/"
    USER = "/user/"


_KINDS = tuple((kind.value, kind) for kind in Kind)


def kind_of(destination: str) -> Kind:
    """Raises TypeError and LocalProtocolError for a destination of no kind, or without a name behind that."""
    if not isinstance(destination, str):
        raise TypeError(f'a destination is a str, such as "/topic/news", not {type(destination).__name__}')
    for prefix, kind in _KINDS:
        if destination.startswith(prefix) and len(destination) > len(prefix):
            return kind
    known = ", ".join(prefix for prefix, _ in _KINDS)
    raise LocalProtocolError(f"a destination begins with one of {known}, not {destination[:SHOWN]!r}")


def own_room(destination: str, identity: str | None, session: str) -> str:
    """The room of what a client means by "/user/…": its identity's, or its session's where it is nobody."""
    rest = destination[len(Kind.USER.value) :]
    # No identity begins with a colon once it is quoted.
    whose = f":{session}" if identity is None else quote(identity, safe="")
    return f"/user/{whose}/{rest}"


def room_for_user(destination: str) -> str:
    """The room that "/user/<identity>/…" means to whoever sends there; the identity is percent-encoded. Raises
    LocalProtocolError where there is none, or nothing behind it."""
    whose, slash, rest = destination[len(Kind.USER.value) :].partition("/")
    if not whose or whose.startswith(":") or not slash or not rest:
        raise LocalProtocolError(f'one identity\'s destination is "/user/<identity>/…", not {destination[:SHOWN]!r}')
    return f"/user/{quote(unquote(whose), safe='')}/{rest}"


class Template:
    """The destination of a handler, in which "{name}" stands for any text without a slash."""

    def __init__(self, text: str) -> None:
        """Raises LocalProtocolError for what is none of the application's destinations."""
        if kind_of(text) is not Kind.APP:
            raise LocalProtocolError(f'handlers are for destinations such as "/app/greet", not {text!r}')
        self.text: str = text
        names = _NAME.findall(text)
        if len(set(names)) < len(names):
            raise LocalProtocolError(f"{text!r} has a name twice")
        parts = _NAME.split(text)
        self._pattern = re.compile(
            "".join(f"(?P<{part}>[^/]+)" if at % 2 else re.escape(part) for at, part in enumerate(parts))
        )
        self.plain: bool = not names

    def match(self, destination: str) -> dict[str, str] | None:
        """What the names stand for in this destination; None if it is another."""
        found = self._pattern.fullmatch(destination)
        return None if found is None else found.groupdict()
