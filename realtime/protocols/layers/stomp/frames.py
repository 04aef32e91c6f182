"""One frame of STOMP: its command, headers and body, and how it is written in each version."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ....core.errors import LocalProtocolError, RemoteProtocolError

__all__ = [
    "CLIENT_COMMANDS",
    "END",
    "V10",
    "V11",
    "V12",
    "VERSIONS",
    "Frame",
    "escape",
    "head",
    "is_bare",
    "size_of",
    "unescape",
    "write",
]

V10, V11, V12 = "1.0", "1.1", "1.2"
VERSIONS: tuple[str, ...] = (V10, V11, V12)

CLIENT_COMMANDS: frozenset[str] = frozenset(
    (
        "ABORT",
        "ACK",
        "BEGIN",
        "COMMIT",
        "CONNECT",
        "DISCONNECT",
        "NACK",
        "SEND",
        "STOMP",
        "SUBSCRIBE",
        "UNSUBSCRIBE",
    )
)
# Their headers are as they are in every version.
_BARE = frozenset(("CONNECT", "CONNECTED", "STOMP"))
END = b"\0"
# What a header takes in memory besides its text, in bytes, and a character at most.
HEADER, CHARACTER = 128, 4

_ESCAPES = {
    V11: {"\\": "\\\\", "\n": "\\n", ":": "\\c"},
    V12: {"\\": "\\\\", "\n": "\\n", ":": "\\c", "\r": "\\r"},
}
_TABLES = {version: str.maketrans(escapes) for version, escapes in _ESCAPES.items()}
_MEANINGS = {version: {text: mark for mark, text in escapes.items()} for version, escapes in _ESCAPES.items()}
_ESCAPED = re.compile(r"\\.?", re.DOTALL)
# What a header cannot say where there are no escapes.
_UNSAYABLE = {V10: re.compile(r"[\n\0]"), V11: re.compile(r"\0"), V12: re.compile(r"\0")}


class Frame(NamedTuple):
    """A frame. Of a header that was there twice, `headers` has the first."""

    command: str
    headers: Mapping[str, str]
    body: bytes = b""


def size_of(headers: Mapping[str, str]) -> int:
    """About how many bytes headers take in memory, which may be many times as many as they had on the wire."""
    size = HEADER * len(headers)
    for name, value in headers.items():
        count = len(name) + len(value)
        size += count if name.isascii() and value.isascii() else CHARACTER * count
    return size


def is_bare(version: str, command: str) -> bool:
    """Whether the headers of such a frame have no escapes."""
    return version == V10 or command in _BARE


def escape(version: str, text: str) -> str:
    """A header's name or value as it is written in a frame with escapes."""
    return text.translate(_TABLES[version])


def unescape(version: str, text: str) -> str:
    """What a header's name or value says. Raises RemoteProtocolError (1002) for an escape that the version has not."""
    if "\\" not in text:
        return text
    meanings = _MEANINGS[version]

    def said(found: re.Match[str]) -> str:
        try:
            return meanings[found[0]]
        except KeyError:
            raise RemoteProtocolError(1002, f"STOMP {version} has no escape {found[0]!r} in headers") from None

    return _ESCAPED.sub(said, text)


def head(version: str, command: str, headers: Iterable[tuple[str, str]]) -> bytes:
    """Everything in front of the body. Raises LocalProtocolError for a header that cannot be said in this version, and
    for one with a lone surrogate."""
    bare = is_bare(version, command)
    lines = [command]
    for name, value in headers:
        if _UNSAYABLE[version].search(value) or _UNSAYABLE[version].search(name) or not name or (bare and ":" in name):
            raise LocalProtocolError(f"STOMP {version} cannot say the header {name!r} with the value {value!r}")
        lines.append(f"{name}:{value}" if bare else f"{escape(version, name)}:{escape(version, value)}")
    try:
        return "\n".join((*lines, "", "")).encode()
    except UnicodeEncodeError:
        raise LocalProtocolError("a header's text must be Unicode scalar values: there is a lone surrogate") from None


def write(version: str, frame: Frame) -> bytes:
    """A frame. One with a body gets a `content-length`, if it has none. Raises as head() does."""
    headers = list(frame.headers.items())
    if frame.body and "content-length" not in frame.headers:
        headers.append(("content-length", str(len(frame.body))))
    return head(version, frame.command, headers) + frame.body + END
