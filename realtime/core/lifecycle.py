"""The life of a session as a table: state × event → state, in one place, for both ends.

docs/architecture.md has the diagram that this table makes (`diagram()`).
"""

from __future__ import annotations

import enum

from .errors import LocalProtocolError

__all__ = ["CLOSING", "DETACHED", "DRAINING", "OPEN", "TRANSITIONS", "Event", "State", "diagram", "next_state"]


class State(enum.StrEnum):
    """Where a session is in its life."""

    CONNECTING = "connecting"  # no carrier has taken it up yet
    OPEN = "open"  # a carrier carries it, or the next poll, or stream, is not overdue
    DETACHED = "detached"  # no carrier; kept for resume_window
    DRAINING = "draining"  # finishing both directions before a close; carriers come and go
    CLOSING = "closing"  # `c` is queued or sent and not acked; carriers come and go
    CLOSED = "closed"  # over


# The same, for those who ask at each message: until Python 3.12 an enumeration takes its time to give its members.
OPEN, DETACHED, DRAINING, CLOSING = State.OPEN, State.DETACHED, State.DRAINING, State.CLOSING


class Event(enum.StrEnum):
    """What moves a session from state to state."""

    ATTACH = "attach"
    DETACH = "detach"
    DRAIN = "drain"
    CLOSE = "close"
    END = "end"


TRANSITIONS: dict[State, dict[Event, State]] = {
    State.CONNECTING: {
        Event.ATTACH: State.OPEN,
        Event.DRAIN: State.DRAINING,
        Event.CLOSE: State.CLOSING,
        Event.END: State.CLOSED,
    },
    State.OPEN: {
        Event.ATTACH: State.OPEN,
        Event.DETACH: State.DETACHED,
        Event.DRAIN: State.DRAINING,
        Event.CLOSE: State.CLOSING,
        Event.END: State.CLOSED,
    },
    State.DETACHED: {
        Event.ATTACH: State.OPEN,
        Event.DRAIN: State.DRAINING,
        Event.CLOSE: State.CLOSING,
        Event.END: State.CLOSED,
    },
    State.DRAINING: {
        Event.ATTACH: State.DRAINING,
        Event.DETACH: State.DRAINING,
        Event.CLOSE: State.CLOSING,
        Event.END: State.CLOSED,
    },
    State.CLOSING: {
        Event.ATTACH: State.CLOSING,
        Event.DETACH: State.CLOSING,
        Event.END: State.CLOSED,
    },
    State.CLOSED: {},
}


def next_state(state: State, event: Event) -> State:
    """The state after `event`. Raises LocalProtocolError where the table has no entry."""
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise LocalProtocolError(f"a session that is {state} has no event {event!s}") from None


def diagram() -> str:
    """The table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", "    [*] --> connecting"]
    for state, events in TRANSITIONS.items():
        lines += [f"    {state} --> {after}: {event}" for event, after in events.items()]
    lines.append("    closed --> [*]")
    return "\n".join(lines)
