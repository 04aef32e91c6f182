"""Batches: one JSON array of frames on one line (docs/protocol.md §3). What all HTTP transports lay in their framing.

Knows JSON and nothing of what the frames say.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from ..core.carrier import Part
from ..core.errors import RemoteProtocolError
from .base import Frame

__all__ = [
    "BatchDecoder",
    "BatchLines",
    "LinesDecoder",
    "decode_batch",
    "decode_body",
    "first_frame",
    "join",
    "quote",
]

# So many values for each frame that may be are parsed before they are looked at.
PLENTY = 8
ONE_LINE = "a body is one batch on one line; nothing comes behind its line feed"
NO_ARRAY = "a batch is a JSON array of strings"
_STRINGS = {str}
_encode = json.encoder.encode_basestring  # in C, where Python has that
_decode = json.JSONDecoder().raw_decode  # of what begins with a quotation mark: of one string
# What stands between the strings of an array; with spaces, up to the next string or behind the array's end.
_BETWEEN = ',"'
_BEGIN = re.compile(r'[ \t\r\n]*\[[ \t\r\n]*(?:(?=")|(\])[ \t\r\n]*)')
_NEXT = re.compile(r'[ \t\r\n]*(?:,[ \t\r\n]*(?=")|(\])[ \t\r\n]*)')


def quote(frame: Frame) -> bytes:
    """One frame as a JSON string in UTF-8."""
    assert isinstance(frame, str), "binary travels as base64 where the carrier is text"
    return _encode(frame).encode()


def join(parts: Sequence[Part]) -> bytes:
    """A batch from frames that quote() made."""
    return b"[" + b",".join(parts) + b"]"  # type: ignore[arg-type] # quote() makes bytes only


def decode_batch(line: bytes, max_frames: int) -> list[Frame]:
    """The frames of one batch.

    Raises RemoteProtocolError: 4400 for what is no array of strings, 4413 for more than `max_frames`.
    """
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise RemoteProtocolError(4400, f"the batch is not UTF-8: {error.reason} at byte {error.start}") from None
    if _may_be_many(text, PLENTY * max_frames):
        return _one_by_one(text, max_frames)
    try:
        frames = json.loads(text)
    except ValueError as error:
        raise _not_json(error) from None
    except RecursionError:
        raise RemoteProtocolError(4400, NO_ARRAY) from None
    if not isinstance(frames, list) or not set(map(type, frames)) <= _STRINGS:
        raise RemoteProtocolError(4400, NO_ARRAY)
    if len(frames) > max_frames:
        raise _too_many(max_frames)
    return frames


def first_frame(beginning: bytes) -> Frame | None:
    """The first frame of a batch of which only the beginning has come; None where that does not tell."""
    text = beginning.decode("utf-8", "replace")
    found = _BEGIN.match(text)
    if found is None or found[1]:
        return None
    try:
        frame: Frame = _decode(text, found.end())[0]
    except ValueError:
        return None
    return frame


def _may_be_many(text: str, most: int) -> bool:
    """Whether JSON of this text may have more than `most` values. Each takes a character, and has one of three in
    front, but for the first. Where these are many, they may be so in the frames, or beside them."""
    if len(text) <= most:
        return False
    commas = text.count(",")
    return commas > most or commas + text.count("[") + text.count("{") > most


def _one_by_one(text: str, max_frames: int) -> list[Frame]:
    """The same for untrusted input: it creates only strings, and at most the allowed number of them."""
    frames: list[Frame] = []
    found = _BEGIN.match(text)
    while found is not None:
        if found[1]:
            if found.end() == len(text):
                return frames
            break
        at = found.end()
        while at:
            if len(frames) == max_frames:
                raise _too_many(max_frames)
            try:
                frame, end = _decode(text, at)
            except ValueError as error:
                raise _not_json(error) from None
            frames.append(frame)
            at = end + 1 if text[end : end + 2] == _BETWEEN else 0  # as nearly everybody writes
        found = _NEXT.match(text, end)
    raise RemoteProtocolError(4400, NO_ARRAY)


def _not_json(error: ValueError) -> RemoteProtocolError:
    return RemoteProtocolError(4400, f"the batch is not JSON: {error}")


def _too_many(max_frames: int) -> RemoteProtocolError:
    return RemoteProtocolError(4413, f"the batch has more frames than max_batch={max_frames}; split it")


def _too_large(max_bytes: int) -> RemoteProtocolError:
    return RemoteProtocolError(4413, f"a batch of more than {max_bytes} bytes is above the limit; split it")


class BatchDecoder:
    """Batches as lines: a `single` one for the body of a poll or send, one after the other on streams."""

    def __init__(self, max_frames: int, max_bytes: int, *, single: bool = False) -> None:
        self._max_frames = max_frames
        self._max_bytes = max_bytes
        self._single = single
        self._complete = False  # a line feed has come
        self._chunks: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[Frame]:
        """The frames of the batches that `data` completes. Raises RemoteProtocolError (4400, 4413)."""
        frames: list[Frame] = []
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._add(line)
            self._complete = True
            frames += self._batch()
        self._add(rest)
        return frames

    def end(self) -> list[Frame]:
        """The frames of the last batch, which needs no line feed. Raises RemoteProtocolError if it was cut."""
        return self._batch()

    def _add(self, chunk: bytes) -> None:
        if chunk and self._single and self._complete:
            raise RemoteProtocolError(4400, ONE_LINE)
        self._size += len(chunk)
        if self._size > self._max_bytes:
            raise _too_large(self._max_bytes)
        if chunk:
            self._chunks.append(chunk)

    def _batch(self) -> list[Frame]:
        line = b"".join(self._chunks)
        self._chunks.clear()
        self._size = 0
        return self.line(line)

    def line(self, line: bytes) -> list[Frame]:
        """The frames of one line; an empty one says nothing."""
        return decode_batch(line, self._max_frames) if line.strip() else []


def decode_body(body: bytes, max_frames: int, max_bytes: int) -> list[Frame]:
    """The frames of a whole body, or of the field of a form or query that stands for one.

    Raises RemoteProtocolError (4400, 4413), for all that a BatchDecoder refuses which reads it piece by piece.
    """
    if len(body) <= min(max_bytes, PLENTY * max_frames) and b"\n" not in body:  # as it usually is
        try:
            text = body.decode()
            strings, end = _decode(text)
        except (ValueError, RecursionError):
            pass  # what is wrong is found below
        else:
            right = end == len(text) and type(strings) is list and len(strings) <= max_frames
            if right and set(map(type, strings)) <= _STRINGS:
                return strings  # type: ignore[no-any-return] # a list of them
    line, _, rest = body.partition(b"\n")
    if len(line) > max_bytes:
        raise _too_large(max_bytes)
    frames = decode_batch(line, max_frames) if line.strip() else []
    if rest.strip(b"\n"):
        raise RemoteProtocolError(4400, ONE_LINE)
    return frames


class LinesDecoder(BatchDecoder):
    """Batches on a stream. What stands behind the last line feed was cut off and counts for nothing."""

    def end(self) -> list[Frame]:
        """Nothing: a stream's batches are complete when their line is."""
        return []


class BatchLines:
    """A batch that the framing around it may have spread over lines."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lines: list[bytes] = []
        self._size = 0

    def add(self, line: bytes) -> None:
        """One more line. Raises RemoteProtocolError (4413)."""
        self._size += len(line) + 1
        if self._size > self._max_bytes + 1:
            raise _too_large(self._max_bytes)
        self._lines.append(line)

    def take(self) -> bytes:
        """What was added since the last call."""
        lines, self._lines, self._size = self._lines, [], 0
        return b"\n".join(lines)
