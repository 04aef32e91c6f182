"""Batches as script: one JavaScript string literal each, handed to a function of the page (docs/protocol.md §3.2).

What htmlfile, jsonp and the answers to forms have in common. A literal is ASCII, and none of its characters means
anything to a parser of HTML, whatever a message says. It is a JSON string as well.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from ..core.carrier import Part
from ..core.errors import LocalProtocolError, RemoteProtocolError
from .base import Frame
from .batch import BatchDecoder, LinesDecoder, decode_batch

__all__ = [
    "JSONP",
    "SCRIPT",
    "ScriptBlocks",
    "ScriptDecoder",
    "ScriptStreamDecoder",
    "check_callback",
    "document",
    "join",
    "quote",
]

MAX_CALLBACK = 64
_CALLBACK = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*(?:\.[A-Za-z_$][A-Za-z0-9_$]*+)*+")
# What JSON leaves as it is and HTML, an old engine or a guess at the charset (UTF-7) might not.
_ESCAPES = {ord(character): f"\\u{ord(character):04x}" for character in "<>&'+\x7f"} | {ord("/"): "\\/"}
_STRING = rb'("(?:[^"\\]|\\.)*+")'
SCRIPT = re.compile(rb"<script>r\(" + _STRING + rb"\)</script>\r?")
JSONP = re.compile(rb"/\*\*/[A-Za-z0-9_$.]+\(" + _STRING + rb"\);\r?")

_encode = json.JSONEncoder(ensure_ascii=True).encode

# `r` looks for the function before it calls it: what the function itself throws must not bring the batch twice.
# Elsewhere than at the page's own origin the look-up throws.
_DOCUMENT = (
    '<!DOCTYPE html>\r\n<html><head><meta charset="utf-8"><title>realtime</title>\r\n'
    '<script>function r(b){{var f;try{{f=typeof parent.{0}=="function"}}catch(e){{}}'
    'if(f)parent.{0}(b);else parent.postMessage("{0}"+b,"*")}}</script>\r\n</head><body>\r\n'
)


def check_callback(name: str) -> str:
    """The name of a page's function. Raises LocalProtocolError, which does not repeat what it refuses."""
    if len(name) > MAX_CALLBACK or not _CALLBACK.fullmatch(name):
        raise LocalProtocolError(
            "callback must name a function: letters, digits, _ and $, with dots between such names,"
            f" at most {MAX_CALLBACK} characters"
        )
    return name


def document(callback: str) -> bytes:
    """The beginning of an HTML document whose function `r` hands a batch to the page around it."""
    return _DOCUMENT.format(check_callback(callback)).encode()


def quote(frame: Frame) -> bytes:
    """One frame as a JSON string, as it lies in a literal."""
    assert isinstance(frame, str), "binary travels as base64 where the carrier is text"
    return _encode(_encode(frame))[1:-1].translate(_ESCAPES).encode()


def join(parts: Sequence[Part]) -> bytes:
    """A batch as a literal, from frames that quote() made."""
    return b'"[' + b",".join(parts) + b']"'  # type: ignore[arg-type] # quote() makes bytes only


def _frames(literal: bytes, max_frames: int) -> list[Frame]:
    """The frames of a literal. Raises RemoteProtocolError (4400, 4413)."""
    try:
        batch: str = json.loads(literal)
        return decode_batch(batch.encode(), max_frames)
    except ValueError as error:
        raise RemoteProtocolError(4400, f"the batch is no string literal: {error}") from None


class ScriptStreamDecoder(LinesDecoder):
    """The batches of a document that grows. What is no call of `r` on a line of its own says nothing."""

    def line(self, line: bytes) -> list[Frame]:
        """The frames of one line."""
        found = SCRIPT.fullmatch(line)
        return _frames(found[1], self._max_frames) if found else []


class ScriptBlocks:
    """The part of a transport that every document of script blocks has: one block for each batch."""

    framing = "script"

    # One frame, as it lies in a batch.
    frame: staticmethod[[Frame], bytes] = staticmethod(quote)

    def wrap(self, parts: Sequence[Part]) -> Sequence[Part]:
        """One script block."""
        return [b"<script>r(" + join(parts) + b")</script>\r\n"]

    def tail(self) -> bytes:
        """The end of the document."""
        return b"</body></html>\r\n"

    def decoder(self, max_frames: int, max_bytes: int) -> ScriptStreamDecoder:
        """Decodes the document as it grows. A block without its line end counts for nothing."""
        return ScriptStreamDecoder(max_frames, max_bytes)


class ScriptDecoder(BatchDecoder):
    """Decodes the one batch of an answer that is a script. Raises RemoteProtocolError (4400) for any other script."""

    def __init__(self, max_frames: int, max_bytes: int) -> None:
        super().__init__(max_frames, max_bytes, single=True)

    def line(self, line: bytes) -> list[Frame]:
        """The frames of the call."""
        if not line.strip():
            return []
        found = JSONP.fullmatch(line)
        if found is None:
            raise RemoteProtocolError(4400, "a script is /**/<callback>(<string literal>);")
        return _frames(found[1], self._max_frames)
