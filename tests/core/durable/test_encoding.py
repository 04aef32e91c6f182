"""A record as text: what is written is read again."""

from __future__ import annotations

import json

import pytest

from realtime.core.durable.encoding import read, written
from realtime.core.durable.record import Close, Publish, Record, Stage, Tenure, created
from realtime.core.frames import Dropped
from realtime.core.rooms import Position

NEW = created("i1", "w1", "t1", '{"nonce":"n"}', 1)
FULL = Record(
    "i9",
    "",
    (Tenure("t1"), Tenure("t2", 3, 2, 1)),
    ("i7", "i8"),
    '{"key":"k"}',
    True,
    7,
    Stage.CLOSING,
    Close(1000, "bye"),
    9,
    ("text ü\u2028", b"\x00\xff", Dropped(3), Close(1000, "bye")),
    6,
    3,
    ("u4", b"u5", Dropped(2)),
    Close(1001),
    True,
    True,
    1,
    2,
    '{"a":[1]}',
    (("chat/ü", Position(5, 6, "w1-7")), ("news", Position(1, 0, ""))),
    (("news", '{"name":"Ada"}'),),
    (Publish("i9-0", "chat", "p"), Publish("i9-1", "chat", b"q")),
    (("old", "1.2.x"),),
)


@pytest.mark.parametrize("record", [NEW, FULL])
def test_what_is_written_is_read_again(record: Record) -> None:
    assert read(written(record)) == record


def test_what_has_its_default_is_left_out() -> None:
    assert json.loads(written(NEW)) == {
        "id": "i1",
        "owner": "w1",
        "tenures": [["t1", 0, 0, 0]],
        "before": [],
        "stage": "live",
        "opening": '{"nonce":"n"}',
        "gen": 1,
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        written(NEW).replace('"live"', '"dead"'),
        written(FULL)[:-1],
        written(FULL).replace('["b","AP8="]', '["b","A"]'),
        written(FULL).replace('["m","u4"]', '["c","u4"]'),
        written(FULL).replace('["m","u4"]', "[]"),
        "[" * 100_000,
        written(FULL).replace('["t1",0,0,0]', "[1,2,3,4,5]"),
    ],
)
def test_what_is_no_record_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="this is no record of a durable session"):
        read(text)


def test_a_position_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="this is no record"):
        read(written(FULL).replace("5.6.w1-7", "5.6"))
