"""As much of HTTP/1.1 (RFC 9112) and of WebSocket framing (RFC 6455, section 5.2) as the proxy needs.

Pure: bytes to facts. It tells where messages, chunks and frames end, and alters nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal, TypeAlias

MAX_LINE = 65536
"""Bytes of a head, or of a chunk's size line, beyond which we take it for something else than HTTP."""
MAX_DIGITS = 18
"""Of a Content-Length; Python reads no number of thousands."""

Body: TypeAlias = Literal["none", "chunked", "until_eof"] | int
"""How the end of a body is known; an int is its length in bytes."""


class BadMessageError(Exception):
    """What arrived is not HTTP/1.x as we understand it."""


class Headers(Mapping[str, str]):
    """Header fields: a mapping whose keys ignore case; `raw` has them all, in order.

    A name that occurs more than once maps to its values joined by ", " (RFC 9110, section 5.3).
    """

    def __init__(self, raw: Iterable[tuple[str, str]]) -> None:
        self.raw: tuple[tuple[str, str], ...] = tuple(raw)

    def __getitem__(self, name: str) -> str:
        values = [value for key, value in self.raw if key.lower() == name.lower()]
        if not values:
            raise KeyError(name)
        return ", ".join(values)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(key.lower() for key, _ in self.raw))

    def __len__(self) -> int:
        return len({key.lower() for key, _ in self.raw})

    def has_token(self, name: str, token: str) -> bool:
        """Whether the comma-separated list in header `name` has `token`, whatever the case."""
        return token.lower() in (part.strip().lower() for part in self.get(name, "").split(","))

    def __repr__(self) -> str:
        return f"Headers({self.raw!r})"


@dataclass(frozen=True)
class ProxiedRequest:
    """A request as the proxy sees it: all that a fault's `match` may look at."""

    method: str
    """GET, POST and so on."""
    path: str
    """Without the query, as sent (percent-encoded)."""
    query: str
    """Without the question mark; empty if there is none."""
    headers: Headers
    """All of them, in order."""
    connection: int
    """Number of the client's connection, from 1."""
    target: str
    """Path and query as sent."""
    version: str
    """HTTP/1.1 or HTTP/1.0."""

    @property
    def is_websocket(self) -> bool:
        """Whether it is a WebSocket handshake."""
        return self.method == "GET" and self.headers.has_token("Upgrade", "websocket")

    @property
    def body(self) -> Body:
        """How the end of its body is known."""
        if self.headers.has_token("Transfer-Encoding", "chunked"):
            return "chunked"
        return _content_length(self.headers) or "none"

    def _head_bytes(self, *, without: frozenset[str] = frozenset(), plus: tuple[tuple[str, str], ...] = ()) -> bytes:
        """Its head as bytes, without some headers (lower-case names) and with some more."""
        kept = [(key, value) for key, value in self.headers.raw if key.lower() not in without]
        return _head(f"{self.method} {self.target} {self.version}", (*kept, *plus))

    def _head_alone(self) -> bytes:
        """Its head for a connection that is to end after the response."""
        if self.is_websocket:
            return self._head_bytes()
        kept = [(key, value) for key, value in self.headers.raw if key.lower() not in ("connection", "expect")]
        return _head(f"{self.method} {self.target} {self.version}", (*kept, ("Connection", "close")))

    def __repr__(self) -> str:
        return f"<{self.method} {self.target} on connection {self.connection}>"


@dataclass(frozen=True)
class Response:
    """The head of a response."""

    status: int
    version: str
    headers: Headers

    def body(self, method: str) -> Body:
        """How the end of its body is known, as the answer to `method` (RFC 9112, section 6.3)."""
        if method == "HEAD" or self.status < 200 or self.status in (204, 304):
            return "none"
        if self.headers.has_token("Transfer-Encoding", "chunked"):
            return "chunked"
        length = _content_length(self.headers)
        return "until_eof" if length is None else length


def parse_request(head: bytes, connection: int) -> ProxiedRequest:
    """A request from its head (blank line included). Raises BadMessageError."""
    first, headers = _parse_head(head)
    method, _, rest = first.partition(" ")
    target, _, version = rest.rpartition(" ")
    if not method or not target or not version.startswith("HTTP/1."):
        raise BadMessageError(f"not a request line: {first!r}")
    path, _, query = target.partition("?")
    return ProxiedRequest(method, path, query, headers, connection, target, version)


def parse_response(head: bytes) -> Response:
    """The facts in a response's head (blank line included). Raises BadMessageError."""
    first, headers = _parse_head(head)
    version, _, rest = first.partition(" ")
    status = rest[:3]
    if not version.startswith("HTTP/1.") or not status.isdecimal():
        raise BadMessageError(f"not a status line: {first!r}")
    return Response(int(status), version, headers)


def keeps_alive(message: ProxiedRequest | Response) -> bool:
    """Whether the connection may be used again after this message (RFC 9112, section 9.3)."""
    if message.headers.has_token("Connection", "close"):
        return False
    return message.version != "HTTP/1.0" or message.headers.has_token("Connection", "keep-alive")


def make_response(status: int, headers: Iterable[tuple[str, str]] = (), body: bytes = b"") -> bytes:
    """A whole response, after which the connection is closed."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unknown"
    fields = (*headers, ("Content-Length", str(len(body))), ("Connection", "close"))
    return _head(f"HTTP/1.1 {status} {phrase}", fields) + body


def chunk_size(buffer: bytes | bytearray) -> tuple[int, int] | None:
    """Look at the start of a chunk: the lengths of its size line and of its data. Raises BadMessageError.

    None: more bytes are needed to say.
    """
    end = buffer.find(b"\r\n")
    if end < 0:
        if len(buffer) > MAX_LINE:
            raise BadMessageError("a chunk's size line does not end")
        return None
    digits = bytes(buffer[:end]).partition(b";")[0].strip()
    if not digits or digits.strip(b"0123456789abcdefABCDEF"):
        raise BadMessageError(f"not the size of a chunk: {digits!r}")
    return end + 2, int(digits, 16)


def dechunk(raw: bytes) -> bytes:
    """The content of a complete chunked body. Raises BadMessageError."""
    content = bytearray()
    at = 0
    while (sizes := chunk_size(raw[at : at + MAX_LINE])) is not None and sizes[1]:
        line, size = sizes
        content += raw[at + line : at + line + size]
        at += line + size + 2
    return bytes(content)


def truncated(raw: bytes, body: Body, keep: int) -> bytes | None:
    """A complete body, `raw` on the wire, as `body[:keep]` under the same head; None if that is all of it.

    A chunked body becomes one chunk that ends too early.
    """
    content = dechunk(raw) if body == "chunked" else raw
    short = content[:keep]
    if short == content:
        return None
    return b"%x\r\n%b" % (len(content), short) if body == "chunked" else short


def frame_size(buffer: bytes | bytearray) -> tuple[int, bool] | None:
    """Look at the start of a WebSocket frame: its whole length in bytes, and whether it carries data.

    None: more bytes are needed to say.
    """
    if len(buffer) < 2:
        return None
    opcode, masked, length = buffer[0] & 0x0F, buffer[1] & 0x80, buffer[1] & 0x7F
    extra = {126: 2, 127: 8}.get(length, 0)
    if len(buffer) < 2 + extra:
        return None
    if extra:
        length = int.from_bytes(buffer[2 : 2 + extra], "big")
    return 2 + extra + (4 if masked else 0) + length, opcode < 8


def _parse_head(head: bytes) -> tuple[str, Headers]:
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    raw = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise BadMessageError(f"not a header: {line!r}")
        raw.append((name, value.strip()))
    return first, Headers(raw)


def _head(first: str, headers: Iterable[tuple[str, str]]) -> bytes:
    lines = (first, *(f"{key}: {value}" for key, value in headers), "", "")
    return "\r\n".join(lines).encode("latin-1")


def _content_length(headers: Headers) -> int | None:
    value = headers.get("Content-Length")
    if value is None:
        return None
    if not value.isdecimal() or len(value) > MAX_DIGITS:
        raise BadMessageError(f"not a Content-Length: {value!r}")
    return int(value)
