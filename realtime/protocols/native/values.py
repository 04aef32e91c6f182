"""The values that frames are made of: numbers, texts, times and JSON, and what is none (docs/protocol.md §3)."""

from __future__ import annotations

import binascii
import json
import re
from collections.abc import Callable
from typing import Any, NoReturn, TypeGuard

from ...core.errors import RemoteProtocolError

__all__ = [
    "MAX_NUMBER",
    "NAME",
    "SID",
    "as_it_came",
    "compact",
    "is_number",
    "is_sid",
    "is_span",
    "is_text",
    "is_time",
    "malformed",
    "parse_base64",
    "parse_json",
    "parse_number",
    "parse_one",
    "to_base64",
]

MAX_NUMBER = 2**53 - 1
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
SID = re.compile(r"[A-Za-z0-9_.-]{1,128}")
compact: Callable[[object], str] = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def _not_json(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_decoder = json.JSONDecoder(parse_constant=_not_json)
parse_json: Callable[[str], Any] = _decoder.decode
parse_one: Callable[[str, int], tuple[Any, int]] = _decoder.raw_decode


def malformed(what: str) -> RemoteProtocolError:
    return RemoteProtocolError(4400, what)


def parse_number(text: str, what: str) -> int:
    """A decimal number without sign or leading zeros, at most 2**53 - 1."""
    if text.isascii() and text.isdigit() and len(text) <= 16 and (text[0] != "0" or text == "0"):
        number = int(text)
        if number <= MAX_NUMBER:
            return number
    raise RemoteProtocolError(1002, f"{what} is not a number: {text[:32]!r}")


def to_base64(data: bytes) -> str:
    """RFC 4648 §4, with padding."""
    return binascii.b2a_base64(data, newline=False).decode()


def parse_base64(text: str) -> bytes:
    """Raises RemoteProtocolError (1007)."""
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        raise RemoteProtocolError(1007, "a binary message that is not base64 (RFC 4648 section 4)") from None


def is_text(value: object) -> bool:
    """Whether this is a string of Unicode scalar values."""
    return isinstance(value, str) and value.encode("utf-8", "replace").decode() == value


def is_number(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 <= value <= MAX_NUMBER


def is_sid(value: object) -> bool:
    return isinstance(value, str) and SID.fullmatch(value) is not None


def is_span(value: object) -> bool:
    """Whether this is a finite number of seconds, 0 or more."""
    return type(value) in (int, float) and 0 <= value < 1e9  # type: ignore[operator] # a number


def is_time(value: object) -> bool:
    """Whether this is a number of seconds above 0 that can be reckoned with."""
    return type(value) in (int, float) and 0 < value <= MAX_NUMBER  # type: ignore[operator] # a number


def as_it_came(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
