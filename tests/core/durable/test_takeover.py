"""Who goes on with a durable session."""

from __future__ import annotations

import pytest

from realtime.core.durable.record import IDS, TENURES, Close, Publish, Record, Stage, Tenure
from realtime.core.durable.takeover import (
    NOBODY,
    Notice,
    Orphan,
    Place,
    Step,
    Underway,
    abandoned,
    indexed,
    orphan,
    place,
    taken_over,
    told,
    unclaimed,
    unfinished,
)
from realtime.core.leases import Gone, Later, Peer

LIVE = Record("i3", "w1", (Tenure("t1"),), sent=5, received=4, taken=2, before=("i1", "i2"), used=True)
ENDED = LIVE._replace(stage=Stage.ENDED, end=Close(1000))
OWNER = Peer("w1", "w1", "unix:/w1")


@pytest.mark.parametrize(
    ("record", "has", "owner", "where"),
    [
        (LIVE, True, Gone(), Step.SERVE),
        (None, False, Gone(), Step.UNKNOWN),
        (ENDED, False, Gone(), Step.TOMBSTONE),
        (LIVE, False, OWNER, OWNER),
        (LIVE, False, Later.LATER, Later.LATER),
        (LIVE, False, Gone(), Step.TAKE),
        (LIVE._replace(owner=""), False, Later.LATER, Step.TAKE),
        (LIVE._replace(owner="w2"), False, Later.LATER, Step.TAKE),  # a takeover of its own, that came to nothing
    ],
)
def test_where_a_request_goes(record: Record | None, has: bool, owner: Peer | Gone | Later, where: Place) -> None:
    assert place(record, "w2", has=has, owner=owner) == where


def test_a_takeover_begins_a_tenure_with_the_numbers_of_then() -> None:
    record = taken_over(LIVE, "w2", "i4", "t2")
    assert (record.id, record.owner, record.before) == ("i4", "w2", ("i1", "i2", "i3"))
    assert record.tenures == (Tenure("t1"), Tenure("t2", 5, 4, 2))
    assert record._replace(id="i3", owner="w1", before=("i1", "i2"), tenures=LIVE.tenures) == LIVE
    long = LIVE._replace(before=tuple(map(str, range(IDS))))
    assert taken_over(long, "w2", "i4", "t2").before == (*long.before[1:], "i3")


def test_a_client_that_goes_on_naming_an_old_tenure_does_not_make_the_record_grow() -> None:
    record = LIVE
    for number in range(2, TENURES + 2):
        assert record.tenures[0].id == "t1"
        record = taken_over(record, "w2", f"i{number}", f"t{number}")
    assert [tenure.id for tenure in record.tenures] == [f"t{number}" for number in range(2, TENURES + 2)]


def test_a_notice_ends_the_hold_that_it_names_and_no_later_one() -> None:
    notices = [Notice("s1", "t1"), Notice("s2", "t2")]
    assert told(notices, "s1", "t1")
    assert not told(notices, "s1", "t3")
    assert not told(notices, "s2", "t1")


@pytest.mark.parametrize(
    ("record", "idle", "becomes"),
    [
        (LIVE, 60.0, Orphan.LEAVE),
        (LIVE, 60.1, Orphan.END),
        (LIVE._replace(stage=Stage.CLOSING), 60.1, Orphan.END),
        (LIVE._replace(closed=Close(1000)), 0.0, Orphan.TAKE),
        (LIVE._replace(stage=Stage.CLOSING, closed=Close(1000)), 0.0, Orphan.LEAVE),
        (ENDED, 99.0, Orphan.LEAVE),
        (ENDED._replace(publishes=(Publish("i1-0", "r", "x"),)), 0.0, Orphan.PUBLISH),
    ],
)
def test_what_becomes_of_a_session_that_nobody_has(record: Record, idle: float, becomes: Orphan) -> None:
    assert orphan(record, idle, 60.0) is becomes
    assert becomes is Orphan.LEAVE or indexed(record)


@pytest.mark.parametrize(
    ("record", "soon"),
    [
        (LIVE, False),
        (LIVE._replace(publishes=(Publish("i1-0", "r", "x"),)), True),
        (ENDED._replace(publishes=(Publish("i1-0", "r", "x"),)), True),
        (LIVE._replace(closed=Close(1000)), True),
        (LIVE._replace(stage=Stage.CLOSING, closed=Close(1000)), False),
        (ENDED, False),
    ],
)
def test_what_is_due_of_a_session_without_its_client(record: Record, soon: bool) -> None:
    assert unfinished(record) is soon


def test_a_worker_takes_over_a_session_once_at_a_time() -> None:
    underway = Underway()
    told: list[str] = []
    assert underway.begins("s1", lambda: told.append("first"))
    assert underway.begins("s2", lambda: told.append("other"))
    assert not underway.begins("s1", lambda: told.append("second"))
    assert not underway.begins("s1", lambda: told.append("third"))
    underway.ended("s1")
    assert told == ["second", "third"]
    assert underway.begins("s1", lambda: None)


def test_what_is_done_with_is_in_no_index() -> None:
    assert not indexed(ENDED)


def test_how_a_session_ends_that_nobody_came_back_for() -> None:
    assert unclaimed(LIVE) == Close(4410)
    assert unclaimed(LIVE._replace(used=False)) == Close(4408)
    assert unclaimed(LIVE._replace(stage=Stage.CLOSING)) == Close(4412)


def test_an_owner_that_is_found_gone_is_taken_out_first() -> None:
    """From that write on its client has its time; and a takeover behind it suspects what it was doing."""
    new = abandoned(LIVE, "i4")
    assert (new.id, new.before, new.owner, new.tenures) == ("i4", ("i1", "i2", "i3"), NOBODY, LIVE.tenures)
    assert place(new, "w2", has=False, owner=Gone()) is Step.TAKE
    assert bool(new.owner)
