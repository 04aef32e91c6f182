"""The `x` of an abrupt end: why there is no session, or none any more (docs/protocol.md §8, §9)."""

from __future__ import annotations

from ...core.errors import Refusal, RemoteProtocolError, clip
from .values import parse_number

__all__ = ["parse_refusal", "refusal_frame"]


def refusal_frame(refusal: Refusal) -> str:
    """The `x` that tells of a refusal."""
    received = "" if refusal.received is None else refusal.received
    return f"x{refusal.code},{refusal.scope},{received},{clip(refusal.reason)}"


def parse_refusal(frame: str) -> Refusal:
    """An `x`. Raises RemoteProtocolError."""
    fields = frame[1:].split(",", 3)
    if frame[:1] != "x" or len(fields) < 4 or fields[1] not in ("session", "carrier"):
        raise RemoteProtocolError(1002, "an abrupt end is x<code>,<session or carrier>,<received>,<reason>")
    received = parse_number(fields[2], "x") if fields[2] else None
    return Refusal(_close_code(fields[0]), clip(fields[3]), scope=fields[1], received=received)


def _close_code(text: str) -> int:
    code = parse_number(text, "a close code")
    if not 1000 <= code <= 4999:
        raise RemoteProtocolError(1002, f"close code {code} is not from 1000 to 4999")
    return code
