"""The answers of another worker to requests that were brought there: their heads, and where a body in chunks ends."""

from __future__ import annotations

import zlib
from typing import NamedTuple

from multidict import CIMultiDict

from .hops import Broken

__all__ = ["Answer", "Chunks"]

# Of one connection and not of the response (RFC 9110 §7.6.1), and what aiohttp writes.
THEIRS = frozenset(("connection", "content-length", "date", "keep-alive", "server", "transfer-encoding"))
# So long the line with the size of a chunk may be.
MAX_LINE = 32
# What aiohttp's enable_compression() makes; zlib tells one from the other.
PACKED = frozenset(("deflate", "gzip"))
EITHER = zlib.MAX_WBITS | 32


class Answer(NamedTuple):
    """The head of a worker's answer."""

    version: str
    status: int
    reason: str
    headers: CIMultiDict[str]

    @classmethod
    def read(cls, head: bytes) -> Answer:
        """A head as it came. Raises Broken."""
        line, *rest = head.decode("utf-8", "surrogateescape").split("\r\n")
        try:
            version, status, reason = [*line.split(" ", 2), ""][:3]
            headers = CIMultiDict[str]()
            for one in rest:
                name, _, value = one.partition(":")
                headers.add(name, value.strip())
            if not version.startswith("HTTP/1."):
                raise ValueError(version)
            return cls(version, int(status), reason, headers)
        except ValueError:
            raise Broken("an answer is no HTTP") from None

    @property
    def length(self) -> int | None:
        """How many bytes follow; None for a stream."""
        if self.status in (204, 304):
            return 0
        length = self.headers.get("Content-Length", "")
        return int(length) if length.isdecimal() else None

    @property
    def chunked(self) -> bool:
        """Whether a stream says where it ends."""
        return "Transfer-Encoding" in self.headers

    @property
    def own(self) -> CIMultiDict[str]:
        """The headers that are the response's own."""
        return CIMultiDict([(name, value) for name, value in self.headers.items() if name.lower() not in THEIRS])

    def unpacked(self, body: bytes, most: int) -> tuple[CIMultiDict[str], bytes]:
        """A whole answer, of `most` bytes, as it was before the application's middlewares have compressed it: those of
        the worker that passes it on may do so again, and say it once. Raises Broken."""
        headers = self.own
        if headers.get("Content-Encoding", "").lower() in PACKED:
            del headers["Content-Encoding"]
            unpacking = zlib.decompressobj(EITHER)
            try:
                unpacked = unpacking.decompress(body, most)
            except zlib.error:
                raise Broken("an answer is not packed as it says") from None
            if body and not unpacking.eof:
                raise Broken("an answer that is packed was cut, or is larger than any may be")
            body = unpacked
        return headers, body

    @property
    def keeps(self) -> bool:
        """Whether another request can be made on its connection."""
        said = self.headers.get("Connection", "").lower()
        return said == "keep-alive" or (said != "close" and self.version == "HTTP/1.1")


class Chunks:
    """Finds where a body in chunks ends (RFC 9112 §7.1); what it is made of is passed on as it is."""

    def __init__(self) -> None:
        self.ended: bool = False
        self._left = 0  # of a chunk, and the line end behind it
        self._line = b""  # of a chunk's size, of which the rest has not come

    def feed(self, data: bytes) -> bytes:
        """What can be passed on, now that this has come; the last chunk is not. Raises Broken."""
        data, self._line = self._line + data, b""
        at, size = self._left, len(data)
        while at < size and not self.ended:
            end = data.find(b"\r\n", at)
            if end < 0:
                if size - at > MAX_LINE:
                    raise Broken("an answer's chunks make no sense")
                self._line = data[at:]
                break
            try:
                length = int(data[at:end].partition(b";")[0], 16)
            except ValueError:
                raise Broken("an answer's chunks make no sense") from None
            self.ended = length == 0
            if not self.ended:
                at = end + 4 + length
        self._left = max(0, at - size)
        return data[:at] if at < size else data
