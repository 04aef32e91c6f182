"""The table of a session's life."""

from __future__ import annotations

import itertools

import pytest

from realtime.core.errors import LocalProtocolError
from realtime.core.lifecycle import TRANSITIONS, Event, State, diagram, next_state

ALLOWED = {(state, event) for state, events in TRANSITIONS.items() for event in events}


def test_every_state_has_its_row_and_all_but_the_last_can_end() -> None:
    assert set(TRANSITIONS) == set(State)
    assert all(TRANSITIONS[state][Event.END] is State.CLOSED for state in State if state is not State.CLOSED)


@pytest.mark.parametrize(
    ("path", "end"),
    [
        ([Event.ATTACH], State.OPEN),
        ([Event.ATTACH, Event.ATTACH], State.OPEN),
        ([Event.ATTACH, Event.DETACH], State.DETACHED),
        ([Event.ATTACH, Event.DETACH, Event.ATTACH], State.OPEN),
        ([Event.ATTACH, Event.DRAIN, Event.DETACH, Event.ATTACH], State.DRAINING),
        ([Event.CLOSE, Event.ATTACH, Event.DETACH], State.CLOSING),
        ([Event.DRAIN, Event.CLOSE, Event.END], State.CLOSED),
    ],
)
def test_paths(path: list[Event], end: State) -> None:
    state = State.CONNECTING
    for event in path:
        state = next_state(state, event)
    assert state is end


@pytest.mark.parametrize(
    ("state", "event"), [pair for pair in itertools.product(State, Event) if pair not in ALLOWED], ids=str
)
def test_what_is_not_in_the_table_raises_one_sentence(state: State, event: Event) -> None:
    with pytest.raises(LocalProtocolError, match=f"a session that is {state} has no event {event}"):
        next_state(state, event)


def test_a_closed_session_has_no_future_and_a_closing_one_does_not_reopen() -> None:
    assert TRANSITIONS[State.CLOSED] == {}
    assert set(TRANSITIONS[State.CLOSING].values()) == {State.CLOSING, State.CLOSED}


def test_the_diagram_is_the_table() -> None:
    lines = diagram().splitlines()
    assert lines[0] == "stateDiagram-v2"
    assert lines[1].strip() == "[*] --> connecting"
    assert lines[-1].strip() == "closed --> [*]"
    assert "    open --> detached: detach" in lines
    assert len(lines) == 3 + len(ALLOWED)
