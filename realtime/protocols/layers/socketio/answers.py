"""What an acknowledgement says: the values that a handler has answered, or why there are none.

Socket.IO has no errors for acknowledgements. Ours is one argument, an object with `_error`, which only realtime's own
clients take for an error: `{"_error":"failed","message":"the handler failed"}`, with `data` if there are any.
"""

from __future__ import annotations

from typing import Any

from ....core.errors import EventError

__all__ = ["FAILED", "UNKNOWN", "WRONG", "answered", "answers", "error"]

FAILED = "failed"  # the handler raised
UNKNOWN = "unknown"  # there is no handler
WRONG = "arguments"  # the handler does not take these


def answers(value: object) -> list[Any]:
    """The arguments of an ack, from what a handler has returned: a tuple is several, None is none."""
    if value is None:
        return []
    return list(value) if isinstance(value, tuple) else [value]


def error(code: str, message: str, data: object = None) -> list[Any]:
    """The arguments of an ack that tells an error."""
    told: dict[str, Any] = {"_error": code, "message": message}
    if data is not None:
        told["data"] = data
    return [told]


def answered(arguments: list[Any]) -> Any:
    """What a call gives: None for an ack without arguments, one argument as it is, several as a list.

    Raises EventError when the ack tells an error.
    """
    if len(arguments) != 1:
        return arguments or None
    only = arguments[0]
    if isinstance(only, dict) and isinstance(only.get("_error"), str):
        raise EventError(str(only.get("message", "")), code=only["_error"], data=only.get("data"))
    return only
