"""Several packets in one HTTP body: version 4 separates, version 3 counts; and the two wrappings of JSONP.

Bodies are taken whole or not at all: who reads one goes through it once before anything is delivered.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence

from ...core.errors import RemoteProtocolError
from ...transports.form import parse_fields
from .packets import NOOP, Packet, decode_bytes, decode_text

__all__ = ["SEPARATOR", "Payload", "is_binary", "join", "join_counted", "jsonp", "split", "unwrap_form"]

SEPARATOR = "\x1e"
_SEPARATOR = SEPARATOR.encode()
# A count has so many digits at most: bodies are not that large.
MAX_DIGITS = 10
_COUNT = re.compile(r"([0-9]{1,10}):")
_NEWLINE = re.compile(r"(\\)?\\n")
# What JSON leaves as it is, and HTML, an old engine or a guess at the charset (UTF-7) might not.
_ESCAPES = {ord(character): f"\\u{ord(character):04x}" for character in "<>&'+/\x7f"}
_TEXT, _BYTES, _END = 0, 1, 255  # around the counts of a binary payload


def _malformed(what: str) -> RemoteProtocolError:
    return RemoteProtocolError(1002, what)


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise _malformed("the payload is not UTF-8") from None


# -- version 4 -------------------------------------------------------------------------------------------------------


def join(packets: Sequence[str]) -> bytes:
    """A payload of version 4."""
    return SEPARATOR.join(packets).encode()


class Payload:
    """The packets of a body, which are made one after the other, each time anew: there may be one for each byte."""

    def __init__(self, read: Callable[[], Iterator[Packet]]) -> None:
        self._read = read

    def __iter__(self) -> Iterator[Packet]:
        """Raises RemoteProtocolError (1002) where the first is that makes no sense."""
        return self._read()


def split(version: int, body: bytes, *, binary: bool = False) -> Payload:
    """The packets of a body. `binary`: it is said to be no text, which is true of version 3's only; some clients of
    version 4 (python-engineio 4.0 and 4.1) say so of theirs, which are text all the same.

    Raises RemoteProtocolError (1002).
    """
    if version != 3:
        return Payload(lambda: _split_separated(version, body))
    if not body:
        raise _malformed("an empty payload")
    if binary:
        return Payload(lambda: _split_binary(body))
    text = _text(body)
    return Payload(lambda: _split_counted(text))


def _split_separated(version: int, body: bytes) -> Iterator[Packet]:
    begin = 0
    while begin <= len(body):
        end = body.find(_SEPARATOR, begin)
        if end < 0:
            end = len(body)
        yield decode_text(version, _text(body[begin:end]))
        begin = end + 1


# -- version 3 -------------------------------------------------------------------------------------------------------


def join_counted(packets: Sequence[str | bytes]) -> bytes:
    """A payload of version 3: text, unless one of its packets is bytes; then all of it is binary."""
    if any(isinstance(packet, bytes) for packet in packets):
        return b"".join(map(_binary_part, packets))
    return "".join(f"{_units(packet)}:{packet}" for packet in packets if isinstance(packet, str)).encode()


def is_binary(body: bytes) -> bool:
    """Whether join_counted() made this body a binary one: text starts with a digit."""
    return body[:1] in (b"\x00", b"\x01")


def _units(text: str) -> int:
    """The length in UTF-16 code units, which is what JavaScript counts."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2


def _binary_part(packet: str | bytes) -> bytes:
    kind = _BYTES if isinstance(packet, bytes) else _TEXT
    data = packet if isinstance(packet, bytes) else packet.encode()
    return bytes((kind, *map(int, str(len(data))), _END)) + data


def _split_counted(text: str) -> Iterator[Packet]:
    # Where every character is one unit, text can be cut as it is; else in UTF-16, two bytes a unit.
    wide = not text.isascii() and max(text) > "\uffff"
    source: str | bytes = text.encode("utf-16-le") if wide else text
    scale = 2 if wide else 1
    at = 0  # in units
    while at * scale < len(source):
        head = source[at * scale : (at + MAX_DIGITS + 1) * scale]
        # Within ten digits and a colon nothing is cut in two that would match.
        found = _COUNT.match(head if isinstance(head, str) else head.decode("utf-16-le", "replace"))
        if found is None:
            raise _malformed("a packet of a payload is <length>:<packet>, in UTF-16 code units")
        begin = at + found.end()
        at = begin + int(found[1])
        part = source[begin * scale : at * scale]
        if len(part) != int(found[1]) * scale:
            raise _malformed("the payload ends within a packet")
        if isinstance(part, bytes):
            try:
                part = part.decode("utf-16-le")
            except UnicodeDecodeError:
                raise _malformed("a packet ends within a character") from None
        # One that is empty says nothing, and counts as any other: there may be half a million of them.
        yield decode_text(3, part) if part else Packet(NOOP)


def _split_binary(body: bytes) -> Iterator[Packet]:
    at = 0
    while at < len(body):
        kind = body[at]
        end = body.find(_END, at + 1, at + MAX_DIGITS + 2)
        digits = body[at + 1 : end]
        if kind not in (_TEXT, _BYTES) or end < 0 or not digits or max(digits) > 9:
            raise _malformed("a packet of a binary payload is 0 or 1, the digits of its length, 255, and the packet")
        size = int("".join(map(str, digits)))
        at = end + 1 + size
        part = body[end + 1 : at]
        if len(part) != size:
            raise _malformed("the payload ends within a packet")
        yield decode_bytes(part) if kind == _BYTES else decode_text(3, _text(part))


# -- JSONP -----------------------------------------------------------------------------------------------------------


def jsonp(index: str, body: bytes) -> bytes:
    """A payload as a script: `___eio[<index>]("...");`, in which no text can be code or markup."""
    literal = json.dumps(body.decode()).translate(_ESCAPES)
    return f"___eio[{index}]({literal});".encode()


def unwrap_form(form: bytes) -> bytes:
    """The payload in the field `d` of a form, its newlines unescaped. Raises RemoteProtocolError (1002).

    A form makes CR LF of every newline (WHATWG HTML, "constructing the entry list"), and of a CR that stands alone.
    Since the client has escaped every LF, there was a CR and nothing else.
    """
    try:
        (field,) = parse_fields(form, "d")
    except RemoteProtocolError as error:
        raise _malformed(error.reason) from None
    if field is None:
        raise _malformed("the field d is missing")
    # The client has written \n for a newline, and \\n for \n.
    text = _text(field).replace("\r\n", "\r")
    text = _NEWLINE.sub(lambda found: found[0] if found[1] else "\n", text)
    return text.replace("\\\\n", "\\n").encode()
