"""Answers that are laid out here, as aiohttp would write them, in one write and for a part of what they cost there.

That is for the usual ones alone, and where the application adds nothing to answers: whatever may change one on its way
(middlewares, on_response_prepare) gets one of aiohttp's. Knows no protocol.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Any

from aiohttp import web
from aiohttp.http import SERVER_SOFTWARE
from multidict import CIMultiDict

__all__ = ["Answer", "Left", "bodiless", "closing_lines", "headers_of", "laid_out", "lines_of"]

HEAD = b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n%b"
OTHER_HEAD = b"HTTP/1.1 %d %b\r\n%bContent-Length: %d\r\n%b"


def lines_of(headers: Mapping[str, str]) -> bytes:
    """The lines of these headers, whose values hold no line end."""
    return "".join([f"{name}: {value}\r\n" for name, value in headers.items()]).encode("utf-8", "surrogateescape")


@lru_cache(maxsize=1)
def closing_lines(now: int) -> bytes:
    """The lines with which aiohttp ends the head of an answer in this second."""
    return f"Date: {formatdate(now, usegmt=True)}\r\nServer: {SERVER_SOFTWARE}\r\n\r\n".encode()


def laid_out(status: int, lines: bytes, content: bytes) -> bytes:
    """An answer with these lines of headers, as aiohttp would write it in this second, on a connection that goes on."""
    ends = closing_lines(int(time.time()))
    if status == 200:
        return HEAD % (lines, len(content), ends) + content
    reason = HTTPStatus(status).phrase.encode()
    return OTHER_HEAD % (status, reason, lines, len(content), ends) + content


def headers_of(head: bytes) -> CIMultiDict[str]:
    """The headers in a head that was laid out here."""
    lines = head.decode("utf-8", "surrogateescape").split("\r\n")[1:-2]
    return CIMultiDict([(name, value) for name, _, value in (line.partition(": ") for line in lines)])


def bodiless(status: int, headers: Mapping[str, str]) -> web.Response:
    """An answer 204 or 304. Its body is empty, not None: aiohttp compresses that too, where a middleware wants it."""
    return web.Response(status=status, body=b"", headers=headers)


class Answer(web.Response):
    """The answer 200 to a request of HTTP/1.1 whose connection goes on, and which is no HEAD, where nothing of the
    application sees what is answered. Whoever makes one sets its `lines`, of headers, and its `content`."""

    # Nothing of web.Response's own is made: each poll and each send has one. What is asked of it, by aiohttp and by
    # access logs, stands here.
    __init__ = object.__init__
    _status, _reason, _keep_alive, _eof_sent = 200, "OK", True, False
    lines: bytes  # of the headers that not every answer has
    content: bytes
    head: bytes  # as it was written

    async def prepare(self, request: web.BaseRequest) -> Any:
        """Writes it. Raises ConnectionResetError when the client has left."""
        if not self._eof_sent:
            self._eof_sent = True
            content, protocol = self.content, request.protocol
            self.head = HEAD % (self.lines, len(content), closing_lines(int(time.time())))
            transport = protocol.transport
            if transport is None or transport.is_closing():
                raise ConnectionResetError("the client has left")
            transport.write(self.head + content)
            if protocol.writing_paused:
                await request.writer.drain()

    @property
    def headers(self) -> CIMultiDict[str]:
        """As they were written."""
        return headers_of(self.head)

    @property
    def body_length(self) -> int:
        """Of all that is written, as aiohttp counts it: in bytes."""
        return len(self.head) + len(self.content)


class Left(web.Response):
    """The answer to such a request whose connection is somebody else's now, who writes it."""

    __init__ = object.__init__
    _status, _reason, _keep_alive, _eof_sent = 200, "OK", True, True

    async def prepare(self, request: web.BaseRequest) -> None:
        """Writes nothing."""
