"""Judges what a server said on one connection: every answer is the documented one, or aiohttp's own 4xx for what is no
HTTP. Knows docs/protocol.md and RFC 9112, and nothing of what was asked.
"""

from __future__ import annotations

import json
import re

from realtime.core.errors import http_status
from realtime.transports import TRANSPORTS
from realtime.transports.batch import decode_batch
from realtime.web.bodies import PACKED

__all__ = ["Finding", "judge", "key_of", "sid_of"]

STATUS = re.compile(rb"HTTP/\d\.\d (\d{3}) [^\r\n]*")
FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?([^\r\n\0]*)")
FRAME = re.compile(
    r"""m.* | b[A-Za-z0-9+/]*=* | d\d+ | c\d{4},.* | a\d+,\d+ | n\d+ | p.{0,64} | q.{0,64} | o\{.*\} | r\d+,\d+
    | x\d{4},(session|carrier),\d*,.* | e(superseded|recycled|idle) | g\d+(\.\d+)? | t
    | [ks]\d+(,[0-9a-f]{32})+""",
    re.VERBOSE | re.DOTALL,
)
# What aiohttp answers by itself: no HTTP, no such address, a body or a head that is too large, an Expect unheard of.
AIOHTTP = (400, 404, 405, 413, 414, 417, 431)
STREAMS = {"text/event-stream; charset=utf-8": "sse", 'multipart/x-mixed-replace; boundary="realtime"': "multipart"}
STREAMS["text/html; charset=utf-8"] = "htmlfile"  # and the answers to forms, which look like it
SENTENCE = re.compile(
    rb"(callback must name a function|more than 32 fields|callback comes twice|the percent-enc)[ -~]*\n"
)
LIMIT = 10_000_000
SECRET = "healthy"  # what the sessions beside say


class Finding(AssertionError):
    """Something the server should not have said."""


class Incomplete(Exception):
    """The rest has not come."""


def judge(said: bytes, *, head: bool = False) -> list[int]:
    """The statuses of the answers on a connection; `head`: HEAD was among the methods. Raises Finding."""
    statuses = []
    if SECRET.encode() in said:
        raise Finding("a session heard what was said to another")
    if b"Traceback" in said:
        raise Finding("a traceback")
    while said:
        try:
            status, said = _answer(said, head)
        except Incomplete:
            break
        statuses.append(status)
    return statuses


def _answer(said: bytes, head: bool) -> tuple[int, bytes]:
    """One answer and what follows it."""
    top, end, rest = said.partition(b"\r\n\r\n")
    first, *lines = top.split(b"\r\n")
    line = STATUS.fullmatch(first)
    if line is None:
        if end or b"\r\n" in said:
            raise Finding(f"not a status line: {first[:80]!r}")
        raise Incomplete
    if not end:
        raise Incomplete
    status = int(line[1])
    headers: dict[str, str] = {}
    for each in lines:
        field = FIELD.fullmatch(each)
        if field is None:
            raise Finding(f"not a header: {each[:80]!r}")
        name = field[1].decode().lower()
        if name in headers:
            raise Finding(f"{name} twice")
        headers[name] = field[2].decode("utf-8", "surrogateescape")
    if status == 101:
        _websocket(rest)
        return status, b""
    if status == 100:
        return status, rest
    if status == 204 or (head and (not rest or rest.startswith(b"HTTP/"))):
        body, whole = b"", False
    else:
        body, rest, whole = _body(headers, rest)
    if "x-content-type-options" not in headers:
        if status not in AIOHTTP:
            raise Finding(f"{status} is not ours, and not what aiohttp answers to nonsense: {body[:200]!r}")
        return status, rest
    if headers["x-content-type-options"] != "nosniff" or "no-store" not in headers.get("cache-control", ""):
        raise Finding(f"{status} without nosniff or no-store")
    _ours(status, headers.get("content-type", ""), body, whole)
    return status, rest


def _body(headers: dict[str, str], rest: bytes) -> tuple[bytes, bytes, bool]:
    """The body, what follows it, and whether it is whole."""
    if headers.get("transfer-encoding") == "chunked":
        if "content-length" in headers:
            raise Finding("both Content-Length and chunked")
        body = b""
        while True:
            size, end, more = rest.partition(b"\r\n")
            if not end:
                return body, b"", False
            if not re.fullmatch(rb"[0-9a-fA-F]+", size):
                raise Finding(f"not a chunk: {rest[:40]!r}")
            length = int(size, 16)
            if len(more) < length + 2:
                return body, b"", False
            if more[length : length + 2] != b"\r\n":
                raise Finding("a chunk longer than it says")
            body, rest = body + more[:length], more[length + 2 :]
            if not length:
                return body, rest, True
    if "content-length" not in headers:
        return rest, b"", False
    length = int(headers["content-length"])
    if len(rest) < length:
        raise Incomplete
    return rest[:length], rest[length:], True


def _ours(status: int, content_type: str, body: bytes, whole: bool) -> None:
    if status in (204,):
        return
    stream = STREAMS.get(content_type)
    if content_type == "application/javascript; charset=utf-8" and body:
        _script(status, body)
        return
    if status == 400 and SENTENCE.fullmatch(body):
        return
    if status == 415 and body in (b"", f"{PACKED}\n".encode()):
        return
    if stream is None and content_type != "text/plain; charset=utf-8":
        raise Finding(f"Content-Type {content_type!r}")
    if stream is None and body[:1] == b" ":
        stream = "xhr_streaming"
    if stream == "htmlfile" and not body.startswith(b"<!DOCTYPE html>"[: len(body)]):
        raise Finding(f"not a document of ours: {body[:80]!r}")
    if stream is not None:
        if status != 200:
            raise Finding(f"a stream with status {status}")
        for frame in TRANSPORTS[stream].decoder(LIMIT, LIMIT).feed(body):
            _frame(frame)
        return
    if not body:  # the answer to HEAD
        return
    frames = decode_batch(body, LIMIT)
    for frame in frames:
        _frame(frame)
    if not frames:
        raise Finding("an empty batch")
    if status == 200:
        return
    last = str(frames[-1])
    if last[:1] != "x":
        raise Finding(f"{status} without an x: {last[:80]!r}")
    code, scope = last[1:].split(",")[:2]
    if http_status(int(code), scope) != status:
        raise Finding(f"{status} with {last[:80]!r}")


def _script(status: int, body: bytes) -> None:
    """A JSONP answer."""
    if status != 200 or not body.isascii():
        raise Finding(f"a script with status {status}: {body[:80]!r}")
    decoder = TRANSPORTS["jsonp"].decoder(LIMIT, LIMIT)
    for frame in decoder.feed(body) + decoder.end():
        _frame(frame)


def _frame(frame: str | bytes) -> None:
    """A frame that a server may say."""
    if not isinstance(frame, str):
        return
    if not FRAME.fullmatch(frame):
        raise Finding(f"no frame of a server: {frame[:80]!r}")
    if frame[0] == "o":
        json.loads(frame[1:])
    frame.encode()  # Unicode scalar values only


def _websocket(said: bytes) -> None:
    """Frames of RFC 6455, unmasked, each whole."""
    closed = False
    while len(said) >= 2:
        first, size = said[0], said[1]
        start = 2
        if size in (126, 127):
            start = 4 if size == 126 else 10
            if len(said) < start:
                return
            size = int.from_bytes(said[2:start], "big")
        if said[1] & 0x80 or first not in (0x81, 0x82, 0x88, 0x89, 0x8A) or size >> 62:
            raise Finding(f"no WebSocket frame of a server: {said[:20]!r}")
        payload, rest = said[start : start + size], said[start + size :]
        if len(payload) < size:
            return
        if closed and first < 0x88:  # aiohttp still answers pings, and closes again upon what breaks RFC 6455
            raise Finding(f"more behind a close frame: {said[:200]!r}")
        if first == 0x81:
            _frame(payload.decode())
        elif first == 0x88:
            closed = True
            code = int.from_bytes(payload[:2], "big")
            if len(payload) == 1 or (payload and (code < 1000 or code in (1004, 1005, 1006, 1015) or code > 4999)):
                raise Finding(f"closed with {payload[:20]!r}")
            payload[2:].decode()
        said = rest


def sid_of(said: bytes) -> str:
    """The sid in an answer to an open, whatever carried it; empty without one."""
    return _member("sid", said)


def key_of(said: bytes) -> str:
    """The session's key, likewise."""
    return _member("key", said)


def _member(name: str, said: bytes) -> str:
    found = re.search(rb'\\*"%s\\*": ?\\*"([A-Za-z0-9_.-]+)' % name.encode(), said)
    return found[1].decode() if found else ""
