"""What is sent, as applications have it: bodies that are text, bytes or JSON, and what handlers are given."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from ..core.errors import LocalProtocolError
from ..core.frames import BINARY, TEXT, Outgoing

__all__ = ["StompMessage", "as_outgoing", "body_of", "headers_of", "written"]

TYPE = "content-type"
_BYTES = "application/octet-stream"


class StompMessage(NamedTuple):
    """A message that a client has sent to one of the application's handlers."""

    destination: str
    """Where it was sent, such as "/app/greet"."""
    headers: Mapping[str, str]
    """Its headers, but for those that STOMP itself uses."""
    body: bytes
    """What was sent."""
    params: Mapping[str, str]
    """What the names in the handler's destination stand for: of "/app/rooms/{room}", `message.params["room"]`."""

    @property
    def text(self) -> str:
        """The body as text. Raises LocalProtocolError, of which the client is told, for one that is not UTF-8."""
        try:
            return self.body.decode()
        except UnicodeDecodeError:
            raise LocalProtocolError("the body is not text in UTF-8") from None

    def json(self) -> Any:
        """The value of a body of JSON. Raises LocalProtocolError, of which the client is told, for any other."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise LocalProtocolError("the body is not JSON") from None


def body_of(value: Any) -> tuple[bytes, str]:
    """A body, and its content-type: text for a str, bytes as they are, JSON for anything else. Raises TypeError and
    LocalProtocolError for what is no JSON, and LocalProtocolError for text with lone surrogates."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value), _BYTES
    kind = "text/plain"
    if not isinstance(value, str):
        try:
            text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        except TypeError as error:
            raise TypeError(f"a message is str, bytes or what JSON has: {error}") from None
        except (ValueError, RecursionError) as error:
            raise LocalProtocolError(f"a message is str, bytes or what JSON has: {error}") from None
        value, kind = text, "application/json"
    try:
        return value.encode(), kind
    except UnicodeEncodeError:
        raise LocalProtocolError("text must be Unicode scalar values, and there is a lone surrogate") from None


def as_outgoing(body: bytes, headers: Mapping[str, str]) -> Outgoing:
    """A message for a room: text where it can be, unless it says that it is bytes; all members get that, and STOMP's
    the headers as well."""
    data: str | bytes = body
    if headers.get(TYPE, "").partition(";")[0].strip().lower() != _BYTES:
        with suppress(UnicodeDecodeError):
            data = body.decode()
    item = Outgoing(TEXT if isinstance(data, str) else BINARY, data, len(body))
    item.about = json.dumps(headers, ensure_ascii=False, separators=(",", ":"))
    return item


def headers_of(item: Outgoing) -> dict[str, str]:
    """The headers of a room's message: of one that came from elsewhere, what it is."""
    if item.about:
        headers = json.loads(item.about)
        if isinstance(headers, dict):
            return {str(name): str(value) for name, value in headers.items()}
    return {TYPE: "text/plain" if item.kind == TEXT else _BYTES}


def written(frame: bytes, code: int = 0) -> Outgoing:
    """A frame as a session's message: text where it can be, since some transports carry nothing else."""
    try:
        return Outgoing(TEXT, frame.decode(), len(frame), code)
    except UnicodeDecodeError:
        return Outgoing(BINARY, frame, len(frame), code)
