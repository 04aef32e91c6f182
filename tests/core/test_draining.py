"""Draining: what a client is told, when, and when a session counts as drained (docs/protocol.md §8)."""

from __future__ import annotations

import pytest

from realtime.core.frames import Outgoing
from realtime.core.lifecycle import State

from .fakes import duplex, poll, stream
from .test_numbered_machine import opened, parked, streaming


def test_draining_tells_a_stream_at_once_and_each_one_that_attaches() -> None:
    machine, _, _, link = streaming()
    machine.drain(2.5)
    assert link.said == ["g2.5"]
    again, again_link = stream()
    machine.attach(again, 2, 0, 0, 1, 1.0)
    assert again_link.said == ["r0,0", "g2.5"]


def test_the_end_is_told_on_a_stream_behind_the_acks() -> None:
    machine, _, _, link = streaming()
    send, _ = poll()
    machine.uplink(send, 0, 0, 1, 1.0)
    machine.message(send, "x", 1, 1.0)
    machine.peer_closed(send, 1000, "bye", 1.0)
    assert link.said == ["a2,0", "x1000,session,2,bye"]
    assert link.closed == (1000, "bye")
    assert machine.uplink_answer(send) == "x1000,session,2,bye"


def test_draining_tells_a_websocket_at_once_and_each_one_that_attaches() -> None:
    machine, diary, _, link = opened()
    machine.drain(30.0)
    assert machine.state is State.DRAINING
    assert link.said == ["g30.0"]
    assert "dirty" in diary.read()
    machine.drain(5.0)
    assert link.said == []
    following, following_link = duplex()
    machine.attach(following, 2, 0, 0, 1, 0.0)
    assert following_link.said == ["r0,0", "g30.0"]
    assert machine.state is State.DRAINING


def test_draining_answers_a_held_poll_at_once_and_later_ones_once_a_second() -> None:
    machine, _, _, link = parked()
    machine.drain(7.0)
    machine.flush(5.0)
    assert link.said == ["r0,0", "g7.0"]
    following, following_link = poll(5.1)
    machine.attach(following, 2, 0, 0, 1, 5.1)
    machine.flush(5.1)
    assert following_link.said == []
    assert machine.deadline() == 6.0
    machine.expire(6.0)
    assert following_link.said == ["r0,0", "g7.0"]


def test_a_poll_is_not_told_again_once_the_client_has_answered() -> None:
    machine, diary, _, link = parked()
    machine.drain(7.0)
    machine.flush(0.0)
    assert link.said == ["r0,0", "g7.0"]
    machine.peer_going(0)
    assert "may_be_drained" in diary.read()
    following, following_link = poll(1.0)
    machine.attach(following, 2, 0, 0, 1, 1.0)
    machine.flush(3.0)
    assert following_link.said == []
    machine.send(Outgoing.message("a"))
    machine.flush(3.0)
    assert following_link.said == ["r0,0", "ma"]


def test_draining_a_session_without_a_carrier() -> None:
    machine, _, carrier, _ = opened()
    machine.lost(carrier, 0.0)
    machine.drain(1.0)
    assert machine.state is State.DRAINING
    machine.expire(99.0)
    assert machine.state is State.DRAINING  # never "detached", but still only kept for so long
    machine.expire(100.0)
    assert machine.outcome is not None
    assert machine.outcome.code == 4410


def test_losing_the_carrier_while_draining_stays_draining() -> None:
    machine, _, carrier, _ = opened()
    machine.drain(1.0)
    machine.lost(carrier, 2.0)
    assert (machine.state, machine.deadline()) == (State.DRAINING, 102.0)


@pytest.mark.parametrize("how", ["close", "end"])
def test_what_is_closing_or_closed_is_not_drained(how: str) -> None:
    machine, _, _, link = opened()
    if how == "close":
        machine.close(1000, "", 0.0)
    else:
        machine.end(1011, "", 0.0)
    state = machine.state
    link.writes.clear()
    machine.drain(1.0)
    assert (machine.state, link.writes) == (state, [])


def test_drained_when_all_has_come_and_was_taken() -> None:
    machine, diary, carrier, _ = opened()
    machine.message(carrier, "a", 1, 0.0)
    assert not machine.drained
    machine.drain(1.0)
    assert not machine.drained  # the client has not answered
    diary.read()
    machine.peer_going(2)
    assert not machine.drained  # the second is still to come
    machine.message(carrier, "b", 1, 0.0)
    assert not machine.drained  # and nothing is taken
    machine.take(0.0)
    assert "may_be_drained" not in diary.read()
    machine.take(0.0)
    assert machine.drained
    assert "may_be_drained" in diary.read()
