"""What the store keeps of a durable session."""

from __future__ import annotations

from realtime.core.durable.record import Close, Record, Stage, Tenure, created
from realtime.core.rooms import Position

RECORD = Record("i9", "w1", (Tenure("t1"), Tenure("t2", 3, 2, 1)), sent=5, received=4, taken=2)


def test_a_new_session_has_nothing_yet() -> None:
    record = created("i1", "w1", "t1", '{"nonce":"n"}', 3)
    assert (record.id, record.owner, record.tenures, record.gen) == ("i1", "w1", (Tenure("t1"),), 3)
    assert (record.stage, record.begun, record.used, record.before) == (Stage.LIVE, False, False, ())
    assert record.opening == '{"nonce":"n"}'


def test_its_owner_has_the_last_tenure() -> None:
    assert RECORD.tenure == Tenure("t2", 3, 2, 1)
    assert RECORD.now() == Tenure("t2", 5, 4, 2)


def test_items_are_found_by_their_numbers() -> None:
    record = RECORD._replace(outbox=("four", "five"))
    assert [record.item(number) for number in (3, 4, 5, 6)] == [None, "four", "five", None]


def test_where_it_has_joined() -> None:
    record = RECORD._replace(rooms=(("chat", Position(1, 2, "id")),))
    assert record.joined("chat") == Position(1, 2, "id")
    assert record.joined("other") is None


def test_it_drains_from_the_clients_close_to_the_handlers_return() -> None:
    closed = RECORD._replace(closed=Close(1000))
    assert not RECORD.draining
    assert closed.draining
    assert not closed._replace(stage=Stage.CLOSING).draining
