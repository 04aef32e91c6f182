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
    whose = f":{session}" if identity is None else quote(identity, safe="", errors="surrogatepass")
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
        self._segments = [_NAME.split(segment) for segment in text.split("/")]
        self.plain: bool = not names

    def match(self, destination: str) -> dict[str, str] | None:
        """What the names stand for in this destination; None if it is another."""
        segments = destination.split("/")
        if len(segments) != len(self._segments):
            return None
        params: dict[str, str] = {}
        for pieces, segment in zip(self._segments, segments, strict=True):
            if not _fits(pieces, segment, params):
                return None
        return params


def _fits(pieces: list[str], segment: str, params: dict[str, str]) -> bool:
    """Whether a segment is made of these pieces, texts and names in turn; notes down what each name stands for: the
    first as much as it can, then the second. A client chooses the segment, so that no piece is sought twice: from the
    end on, each as far behind as it can be, which leaves most to those before it."""
    first, last = pieces[0], pieces[-1]
    if len(pieces) == 1:
        return segment == first
    begin, end = len(first), len(segment) - len(last)
    if begin >= end or not segment.startswith(first) or not segment.endswith(last):
        return False
    for index in range(len(pieces) - 2, 1, -2):
        text = pieces[index - 1]
        at = segment.rfind(text, begin + 1, end - 1)
        if at < 0:
            return False
        params[pieces[index]] = segment[at + len(text) : end]
        end = at
    params[pieces[1]] = segment[begin:end]
    return True
