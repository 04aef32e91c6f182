"""The JSON of a packet: read within bounds, written with its bytes taken out, and these put back in.

Bytes leave a placeholder, `{"_placeholder":true,"num":0}`, and follow as attachments: see packets.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn, cast

from ....core.errors import LocalProtocolError, RemoteProtocolError

__all__ = ["MAX_DEPTH", "read", "restore", "write"]

# Arrays and objects lie so deep in each other at most, the array of the arguments included.
MAX_DEPTH = 64

_TOO_DEEP = f"JSON of more than {MAX_DEPTH} arrays and objects in each other"
# What may hold a bracket and is none; and brackets. A string that has no end is one all the same: the time this takes
# grows with the text, and no faster.
_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)

# In strings there is a backslash before each quotation mark.
_PLACEHOLDERS = re.compile(r'[{,]"_placeholder":true')


def _constant(_: str) -> NoReturn:
    raise ValueError("no JSON")


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):  # JSON has no such number, so it could be sent to nobody
        raise ValueError("a number too large")
    return number


_READER = json.JSONDecoder(parse_constant=_constant, parse_float=_float)


# What raw_decode() calls, and nothing else; it raises StopIteration as well.
_scan: Callable[[str, int], tuple[Any, int]] = getattr(_READER, "scan_once", _READER.raw_decode)


def read(text: str, at: int = 0) -> Any:
    """The value of a JSON text, which begins here. Raises RemoteProtocolError (1002)."""
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(text) > MAX_DEPTH:
        raise RemoteProtocolError(1002, _TOO_DEEP)
    try:
        value, end = _scan(text, at)
        if end == len(text):  # as it usually is: the short way, which does not look for white space
            return value
    except (ValueError, StopIteration):
        pass
    try:
        return _READER.decode(text[at:])
    except ValueError:  # JSONDecodeError, and integers of thousands of digits
        raise RemoteProtocolError(1002, "the payload of a packet is no JSON") from None


def _depth(text: str) -> int:
    """How deep arrays and objects lie in each other, before anything is parsed; of what is no JSON, any number."""
    depth = deepest = 0
    for found in _TOKENS.finditer(text):
        token = found[0]
        if token in "[{":
            depth += 1
            if depth > deepest:
                deepest = depth
                if deepest > MAX_DEPTH:
                    break
        elif token in "]}":
            depth -= 1
    return deepest


def restore(value: Any, attachments: Sequence[bytes], placed: list[bytes]) -> Any:
    """The value with its attachments in their places. Arrays and objects that hold some are changed in place. What
    stands in each of the places is put into `placed`: an attachment may be in several.

    Raises RemoteProtocolError (1002) for a place of an attachment that is not there.
    """
    if isinstance(value, list):
        for index, item in enumerate(value):
            if isinstance(item, (list, dict)):
                value[index] = restore(item, attachments, placed)
    elif value.get("_placeholder") is True:
        number = value.get("num")
        if type(number) is not int or not 0 <= number < len(attachments):
            raise RemoteProtocolError(1002, "a placeholder names an attachment that the packet has not")
        found = attachments[number]
        placed.append(found)
        return found
    else:
        for key, item in value.items():
            if isinstance(item, (list, dict)):
                value[key] = restore(item, attachments, placed)
    return value


class _HasBytes(Exception):
    """There are bytes in it."""


def _check(value: object) -> NoReturn:
    if isinstance(value, (bytes, bytearray, memoryview)):
        raise _HasBytes
    raise _unknown(value)


def _unknown(value: object) -> TypeError:
    return TypeError(
        f"an event takes what JSON has (None, bool, int, float, str, list, dict) and bytes, not {type(value).__name__}"
    )


_SETTINGS: dict[str, Any] = {"ensure_ascii": False, "allow_nan": False, "separators": (",", ":")}
_WRITER = json.JSONEncoder(**_SETTINGS, default=_check)


def _whole(value: Any, _: int) -> tuple[str]:
    return (_WRITER.encode(value),)


def _encoder(module: Any) -> Callable[[Any, int], Iterable[str]]:
    """The compiled encoder of json.encoder, which makes the pieces of a JSON text. JSONEncoder.encode() makes it again
    for each value, and that takes longer than most events; but where it is not as it was known, this does. What
    contains itself, or is too deep, is a RecursionError."""
    known = [["é", 1.5], {"a": None, "b": [True]}]
    try:
        encode = module.c_make_encoder(None, _check, module.encode_basestring, None, ":", ",", False, False, False)
        if "".join(encode(known, 0)) == _WRITER.encode(known):
            return cast("Callable[[Any, int], Iterable[str]]", encode)
    except (AttributeError, TypeError):
        pass
    return _whole


_pieces = _encoder(json.encoder)


def write(value: Any) -> tuple[str, list[bytes]]:
    """JSON text, and the bytes that were in the value, in the order of their placeholders.

    Raises TypeError for what JSON does not have, LocalProtocolError for NaN and infinite numbers, for what contains
    itself, for what is too deep, and for an object beside bytes that is read as a placeholder of some.
    """
    attachments: list[bytes] = []
    try:
        try:
            text = "".join(_pieces(value, 0))
        except (_HasBytes, RecursionError):
            text = json.JSONEncoder(**_SETTINGS, default=_taking_out(attachments)).encode(value)
        if not text.isascii() and _has_surrogates(text):  # which JSON can escape, and UTF-8 cannot say
            attachments.clear()
            text = json.JSONEncoder(**(_SETTINGS | {"ensure_ascii": True}), default=_taking_out(attachments)).encode(
                value
            )
    except ValueError as error:
        raise LocalProtocolError(f"an event's arguments are no JSON: {error}") from None
    except RecursionError:
        raise LocalProtocolError(_TOO_DEEP) from None
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(text) > MAX_DEPTH:
        raise LocalProtocolError(_TOO_DEEP)
    if attachments and len(_PLACEHOLDERS.findall(text)) != len(attachments):  # whose receivers would leave for that
        raise LocalProtocolError('an object with "_placeholder": true beside bytes would be taken for a place of these')
    return text, attachments


def _taking_out(attachments: list[bytes]) -> Callable[[object], dict[str, object]]:
    """Puts the bytes of a value there, and a placeholder in their place."""

    def take_out(value: object) -> dict[str, object]:
        if not isinstance(value, (bytes, bytearray, memoryview)):
            raise _unknown(value)
        attachments.append(bytes(value))
        return {"_placeholder": True, "num": len(attachments) - 1}

    return take_out


def _has_surrogates(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
