"""What SockJS clients send: arrays of strings, in bodies, forms and WebSocket messages; and the names of functions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator

from ...core.errors import RemoteProtocolError
from ...transports.form import parse_fields

__all__ = ["BROKEN", "EMPTY", "SHORT", "Messages", "check_callback", "parse_body", "parse_form", "parse_frame"]

# The document's own words, which clients and suites look for.
EMPTY = "Payload expected."
BROKEN = "Broken JSON encoding."
NO_CALLBACK = '"callback" parameter required'
BAD_CALLBACK = 'invalid "callback" parameter'

_CALLBACK = re.compile(r"[a-zA-Z0-9\-_.]{1,32}")
_SURROGATE = re.compile("[\ud800-\udfff]")
# An array longer than this, in bytes, is looked through before anything is made of it: most is made of what is short.
SHORT = 1024
# RFC 8259 §7. What was matched is never tried otherwise, so that no list of ways back is kept.
_QUOTED = rb'"[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+"'
_STRING = re.compile(_QUOTED)
_SPACE = rb"[ \t\r\n]*+"
_ARRAY = re.compile(
    _SPACE + rb"\[" + _SPACE + rb"(?:" + _QUOTED + _SPACE + rb"(?:," + _SPACE + _QUOTED + _SPACE + rb")*+)?+\]" + _SPACE
)


def _broken(what: str) -> RemoteProtocolError:
    return RemoteProtocolError(1002, what)


def _decode(text: bytes) -> object:
    """JSON in UTF-8. Raises RemoteProtocolError."""
    try:
        return json.loads(text.decode())
    except (ValueError, RecursionError):
        raise _broken(BROKEN) from None


def _messages(value: object) -> list[str]:
    """The strings of an array. Raises RemoteProtocolError."""
    if not isinstance(value, list):
        raise _broken(EMPTY)
    if not all(isinstance(message, str) for message in value):
        raise _broken(BROKEN)  # SockJS carries strings: anything else would arrive as something else
    # A lone surrogate is no character; browsers' own WebSockets replace it likewise.
    return [message if message.isascii() else _SURROGATE.sub("\ufffd", message) for message in value]


class Messages:
    """The strings of an array that is too long to be kept in pieces: each is parsed when it is taken."""

    def __init__(self, array: bytes) -> None:
        """Raises RemoteProtocolError."""
        if not _ARRAY.fullmatch(array):
            raise _broken(BROKEN if array.lstrip(b" \t\r\n")[:1] == b"[" else EMPTY)
        try:
            array.decode()
        except UnicodeDecodeError:
            raise _broken(BROKEN) from None
        self._array = array

    def __iter__(self) -> Iterator[str]:
        for found in _STRING.finditer(self._array):
            yield from _messages([_decode(found[0])])


def _parse(array: bytes) -> Iterable[str]:
    return _messages(_decode(array)) if len(array) <= SHORT else Messages(array)


def parse_body(body: bytes) -> Iterable[str]:
    """The messages of an `xhr_send`. Raises RemoteProtocolError, whose reason is the document's text."""
    if not body:
        raise _broken(EMPTY)
    return _parse(body)


def parse_form(form: bytes) -> Iterable[str]:
    """The messages of a `jsonp_send` by a form. Raises RemoteProtocolError."""
    try:
        (data,) = parse_fields(form, "d")
    except RemoteProtocolError:
        data = None
    if not data:
        raise _broken(EMPTY)
    return _parse(data)


def parse_frame(data: str | bytes) -> Iterable[str]:
    """The messages of a WebSocket message: an array of strings, or one string; none when it is empty.

    Raises RemoteProtocolError.
    """
    array = data.encode() if isinstance(data, str) else data
    if not array:
        return []
    if len(array) > SHORT and array[:1] != b'"':
        return Messages(array)
    value = _decode(array)
    return _messages([value] if isinstance(value, str) else value)


def check_callback(name: str | None) -> str:
    """The name of a page's function. Raises RemoteProtocolError, whose reason is the document's text."""
    if not name:
        raise RemoteProtocolError(1002, NO_CALLBACK)
    if not _CALLBACK.fullmatch(name):
        raise RemoteProtocolError(1002, BAD_CALLBACK)
    return name
