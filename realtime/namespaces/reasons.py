"""Why a client has gone, as its namespaces' handlers are told. The words are Socket.IO's."""

from __future__ import annotations

from ..core.machine import Ended
from ..core.plain_machine import INTERRUPTED

__all__ = ["CUT", "ENDED", "LEFT", "PUT_OUT", "SILENT", "may_go_on", "reason_of"]

LEFT = "client namespace disconnect"
PUT_OUT = "server namespace disconnect"
CUT = "transport close"
SILENT = "ping timeout"
BROKEN = "parse error"
STOPPED = "server shutting down"
ENDED = "forced server close"
_SILENCE = 4410
_REASONS = {
    **dict.fromkeys((1001, 1012), STOPPED),
    **dict.fromkeys((1002, 1003, 1007, 1009), BROKEN),
    **dict.fromkeys((1008, 1011, 4401, 4403), ENDED),
    _SILENCE: SILENT,
}


def reason_of(code: int, default: str) -> str:
    """Why, by the code that its session ended with."""
    return _REASONS.get(code, default)


def may_go_on(outcome: Ended, *, closing: bool) -> bool:
    """Whether a client whose session has ended so may go on in another: its connection was lost, or it has left without
    a word. `closing`: this side has closed the session, however it ended then."""
    return not closing and (outcome.clean or outcome.code in (INTERRUPTED, _SILENCE))
