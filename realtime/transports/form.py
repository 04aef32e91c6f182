"""Polls and sends that an HTML form makes: fields up, and down a document that calls a function of the page.

Not a transport of its own: any POST may come as a form (docs/protocol.md §3.3), and is answered accordingly.
"""

from __future__ import annotations

import re

from ..core.carrier import Shape
from ..core.errors import RemoteProtocolError
from .base import Facts, Head, Transport
from .script import ScriptBlocks, document

__all__ = ["CONTENT_TYPE", "Form", "begun_field", "parse_fields", "parse_text_field"]

CONTENT_TYPE = "application/x-www-form-urlencoded"
# More fields than anybody's form has.
MAX_FIELDS = 32


class Form(ScriptBlocks):
    """A transport that polls, when a form makes its requests: the same in everything but its answers' framing."""

    def __init__(self, transport: Transport) -> None:
        self.name: str = transport.name
        self.method: str = transport.method
        self.shape: Shape = transport.shape
        self.held: bool = transport.held

    def head(self, facts: Facts) -> Head:
        """The answer's status and headers, and the function that delivers."""
        return Head(
            200,
            (
                ("Content-Type", "text/html; charset=utf-8"),
                ("Cache-Control", "no-store, no-transform"),
                ("X-Content-Type-Options", "nosniff"),
            ),
            document(facts.callback),
        )


def parse_fields(text: bytes, *names: str) -> list[bytes | None]:
    """The values of these fields of a form or query, decoded (WHATWG URL §5.1); None for one that is missing.

    Other fields say nothing. Raises RemoteProtocolError (4400) for a field that comes twice, for more than 32 fields,
    and for a percent sign without two hexadecimal digits behind it.
    """
    if text.count(b"&") >= MAX_FIELDS:
        raise RemoteProtocolError(4400, f"more than {MAX_FIELDS} fields")
    found: dict[bytes, bytes] = {}
    wanted = [name.encode() for name in names]
    for field in text.split(b"&"):
        name, _, value = field.partition(b"=")
        if name in found:
            raise RemoteProtocolError(4400, f"{name.decode()} comes twice")
        if name in wanted:
            found[name] = value
    return [_decoded(name, found.get(name.encode())) for name in names]


def begun_field(beginning: bytes, name: str) -> bytes | None:
    """How the value of a field begins, decoded, in a form of which only the beginning has come; None where that does
    not tell."""
    found = re.search(rb"(?:^|&)%b=([^&%%]*+(?:%%[0-9a-fA-F]{2}[^&%%]*+)*+)" % re.escape(name.encode()), beginning)
    return None if found is None else _decoded(name, found[1])


def parse_text_field(text: bytes, name: str) -> str | None:
    """The value of one field that is text; None if it is missing. Raises RemoteProtocolError (4400), see above, and for
    one that is not UTF-8."""
    field, _, encoded = text.partition(b"=")
    if field == name.encode() and b"&" not in encoded:  # as it usually is
        value = _decoded(name, encoded)
    else:
        (value,) = parse_fields(text, name)
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError as error:
        raise RemoteProtocolError(4400, f"{name} is not UTF-8: {error.reason} at byte {error.start}") from None


def _decoded(name: str, value: bytes | None) -> bytes | None:
    """Percent-decoded, in a time that does not depend on how much is encoded."""
    if value is None:
        return None
    python = value.replace(b"+", b" ").replace(b"\\", b"\\\\").replace(b"%", b"\\x")
    try:
        return python.decode("unicode_escape").encode("latin-1")
    except UnicodeDecodeError:
        raise RemoteProtocolError(4400, f"the percent-encoding of {name} is broken") from None
