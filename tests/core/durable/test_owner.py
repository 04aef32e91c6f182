"""A durable session at the worker that has it, step by step; tests/core/durable_model plays the rest."""

from __future__ import annotations

import pytest

from realtime.core.durable.changes import Commit, Ended, HandedOver, Sends, Touch
from realtime.core.durable.lineage import Shown, Verdict
from realtime.core.durable.owner import MOST_ATTEMPTS, Arrival, Given, Hand, Outcome, Owner
from realtime.core.durable.record import Close, Record, Stage, Tenure, created
from realtime.core.durable.takeover import taken_over
from realtime.core.frames import Dropped


def owner(*, suspected: bool = False, most: int | None = None, **fields: object) -> Owner:
    record = created("i0", "w1", "t1", "", 1)._replace(begun=True)
    return Owner(record._replace(**fields), suspected=suspected, most=most)  # type: ignore[arg-type]


def stored(owner: Owner, id: str) -> Record:
    """Writes what waits, which the store takes."""
    write = owner.write(id)
    assert owner.answered(id) is Outcome.STORED
    assert write.record == owner.record
    return owner.record


# -- what arrives ------------------------------------------------------------------------------------------------------


def test_what_arrives_is_acknowledged_when_it_is_stored() -> None:
    session = owner()
    assert not session.waiting
    assert [session.arrive(number, f"u{number}") for number in (1, 1, 3, 2)] == [
        Arrival.NEW,
        Arrival.KNOWN,
        Arrival.GAP,
        Arrival.NEW,
    ]
    assert (session.received, session.acks, session.stored) == (2, (0, 0), False)
    assert session.waiting
    session.write("i1")
    assert not session.waiting
    session.arrive(3, "u3")
    assert session.acks == (0, 0)
    session.answered("i1")
    assert (session.received, session.acks, session.record.inbox) == (3, (2, 0), ("u1", "u2"))
    assert stored(session, "i2").inbox == ("u1", "u2", "u3")
    assert session.stored


def test_nothing_arrives_behind_a_close_or_an_end() -> None:
    session = owner()
    assert session.arrive(1, "u1") is Arrival.NEW
    session.write("i1")
    assert session.arrive(2, Close(1000)) is Arrival.NEW
    assert session.closed
    assert session.arrive(3, "u3") is Arrival.KNOWN
    session.answered("i1")
    assert (session.received, session.record.closed) == (2, None)
    stored(session, "i2")
    assert (session.acks, session.record.closed, session.closed) == ((2, 0), Close(1000), True)
    assert owner(stage=Stage.ENDED).arrive(1, "u1") is Arrival.KNOWN


# -- requests ----------------------------------------------------------------------------------------------------------


def test_requests_are_judged_by_the_lineage() -> None:
    session = owner(tenures=(Tenure("t1"), Tenure("t2", 1)), sent=2, outbox=("a", "b"))
    assert session.judge(Shown("t1", 1, 0, 1, 2)) is Verdict.FINE
    assert session.judge(Shown("t1", 2, 0, 1, 2)) is Verdict.AHEAD
    assert session.judge(Shown("", 0, 0, 1, 1)) is Verdict.FINE


def test_an_open_uses_nothing_and_an_attach_shows_what_followed() -> None:
    session = owner(tenures=(Tenure("t1"), Tenure("t2", 1)), sent=2, outbox=("a", "b"))
    assert session.accept(Shown("", gen=2)) is None
    assert (session.used, session.gen) == (False, 2)
    assert session.accept(Shown("t1", 1, 0, 1, 3)) == Tenure("t2", 1)
    assert (session.used, session.gen, session.acked) == (True, 3, 1)
    session.change(Touch())
    record = stored(session, "i1")
    assert (record.used, record.gen, record.outbox) == (True, 3, ("b",))
    assert record.tenures == (Tenure("t1"), Tenure("t2", 1))
    assert session.accept(Shown("t2", 2, 0, 1)) is None  # a send: it acks, and no more
    session.change(Touch())
    assert stored(session, "i2").tenures == (Tenure("t1"), Tenure("t2", 1))
    session.accept(Shown("t2", 2, 0, 1, 4))
    session.change(Touch())
    record = stored(session, "i3")
    assert (record.tenures, record.outbox, session.outstanding) == ((Tenure("t2", 1),), (), 0)


def test_acks_on_a_carrier_count_and_show_that_the_sid_is_known() -> None:
    session = owner(sent=2, outbox=("a", "b"))
    assert session.outstanding == 2
    session.acknowledged(1)
    session.acknowledged(0)
    session.acknowledged(99)
    assert (session.acked, session.used) == (2, True)


# -- drops -------------------------------------------------------------------------------------------------------------


def test_a_note_of_drops_waits_while_it_changes_and_grows_no_more_when_it_was_written() -> None:
    session = owner(most=1)
    session.change(Sends(("a", "b")))
    stored(session, "i1")
    assert session.last == 2
    session.change(Sends(("c",)))
    session.write("i2")
    assert session.last == 1
    session.answered("i2")
    assert (session.last, session.record.outbox) == (2, ("a", Dropped(2)))
    session.handed(2)
    session.handed(1)
    session.change(Sends(("d",)))
    session.write("i3")
    assert session.last == 2
    session.answered("i3")
    assert session.record.outbox == ("a", Dropped(2), Dropped(1))


def test_what_another_owner_may_have_written_does_not_change() -> None:
    first = owner(most=1)
    first.change(Sends(("a", "b")))
    session = Owner(taken_over(stored(first, "i1"), "w2", "i2", "t2"), most=1)
    session.change(Sends(("c",)))
    assert stored(session, "i3").outbox == ("a", Dropped(1), Dropped(1))


def test_a_write_that_lets_acknowledged_items_go_holds_nothing_back() -> None:
    session = owner(sent=1, outbox=("a",))
    session.acknowledged(1)
    session.change(Touch())
    session.write("i1")
    assert session.last == 1


# -- the handler -------------------------------------------------------------------------------------------------------


def test_a_handler_is_given_what_has_arrived_in_order() -> None:
    session = owner()
    assert session.begin() is Hand.GIVE
    assert session.hand() == (Hand.NOTHING, None)
    session.arrive(1, "u1")
    assert session.hand() == (Hand.GIVE, Given(1, "u1", False))  # it need not be stored
    session.change(Commit("1", 1, False))
    stored(session, "i1")
    assert session.hand() == (Hand.GIVE, Given(1, "u1", True))
    session.arrive(2, "u2")
    session.change(Commit("1", 1, True))
    stored(session, "i2")
    assert session.hand() == (Hand.GIVE, Given(2, "u2", False))
    session.arrive(3, Close(1000))
    session.change(Commit("1", 2, True))
    stored(session, "i3")
    assert session.hand() == (Hand.OVER, None)


def test_an_attempt_behind_a_takeover_is_counted_before_it_is_made() -> None:
    session = owner(suspected=True)
    assert session.begin() is Hand.COUNT
    assert stored(session, "i1").starts == 1
    assert session.begin() is Hand.GIVE
    session.arrive(1, "u1")
    assert session.hand() == (Hand.COUNT, None)
    assert stored(session, "i2").attempts == 1
    assert session.hand()[0] is Hand.GIVE


def test_what_was_tried_often_enough_is_not_tried_again() -> None:
    assert owner(suspected=True, starts=MOST_ATTEMPTS).begin() is Hand.POISON
    session = owner(suspected=True, attempts=MOST_ATTEMPTS, received=1, inbox=("u1",))
    assert session.hand() == (Hand.POISON, None)
    assert owner(attempts=MOST_ATTEMPTS, received=1, inbox=("u1",)).hand()[0] is Hand.GIVE  # it was handed over


@pytest.mark.parametrize("stage", [Stage.CLOSING, Stage.ENDED])
def test_no_second_handler_begins(stage: Stage) -> None:
    session = owner(stage=stage, received=1, inbox=("u1",))
    assert session.begin() is Hand.NOTHING
    assert session.hand() == (Hand.NOTHING, None)


def test_who_leaves_begins_nothing() -> None:
    session = owner(received=1, inbox=("u1",))
    session.leaving = True
    assert session.begin() is Hand.NOTHING
    assert session.hand() == (Hand.NOTHING, None)
    session.change(HandedOver())
    assert stored(session, "i1").owner == ""


# -- writes ------------------------------------------------------------------------------------------------------------


def test_an_unknown_outcome_is_asked_again_under_the_same_id() -> None:
    session = owner()
    session.change(Sends(("a",)))
    write = session.write("i1")
    assert (write.expected, write.record.id, write.record.before) == ("i0", "i1", ("i0",))
    assert session.last == 0
    assert session.again() == write
    assert session.answered("i1") is Outcome.STORED
    assert session.last == 1


def test_a_store_that_went_back_is_written_over() -> None:
    session = owner(before=("a", "b"))
    for number in (1, 2):
        session.change(Sends((f"d{number}",)))
        stored(session, f"i{number}")
    session.change(Sends(("d3",)))
    write = session.write("i3")
    assert session.answered("b") is Outcome.BEHIND
    assert session.again() == write._replace(expected="b")
    assert session.answered("i1") is Outcome.BEHIND
    assert session.answered("i2") is Outcome.BEHIND
    assert session.answered("i3") is Outcome.STORED
    assert session.record.sent == 3


@pytest.mark.parametrize("found", ["another's", ""])
def test_whoever_finds_another_write_is_fenced(found: str) -> None:
    session = owner()
    session.change(Ended(Close(1000)))
    session.write("i1")
    assert session.answered(found) is Outcome.FENCED
    assert session.fenced
    assert not session.waiting
    assert session.record.stage is Stage.LIVE  # nothing of that is said


def test_another_run_of_the_store_is_compared() -> None:
    session = owner()
    session.change(Touch())
    stored(session, "i1")
    assert session.compare("i1") is Outcome.STORED
    assert not session.waiting
    assert session.compare("i0") is Outcome.BEHIND
    assert session.waiting
    session.write("i2")
    assert session.compare("another's") is Outcome.STORED  # the write will tell
    session.answered("i2")
    assert session.compare("another's") is Outcome.FENCED
    assert session.fenced
