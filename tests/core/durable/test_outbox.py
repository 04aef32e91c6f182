"""The outbox of a session that was taken over: numbers that only its client knows to have been sent."""

from __future__ import annotations

import pytest

from realtime.core.durable.outbox import StoredOutbox
from realtime.core.errors import RemoteProtocolError
from realtime.core.frames import Outgoing, Window

from ..fakes import contents, texts


def outbox(acked: int, *items: Outgoing) -> StoredOutbox:
    made = StoredOutbox(Window(4, 100), 100, 10_000)
    made.begin(acked)
    for item in items:
        made.append(item)
    return made


def test_it_goes_on_behind_what_is_acknowledged() -> None:
    box = outbox(7, *texts("h", "i"))
    box.sent_before(7, 7)
    first, items = box.peek(8, 10, 1000)
    assert (first, contents(items)) == (8, ["mh", "mi"])


def test_what_the_client_has_was_sent_by_another_owner() -> None:
    box = outbox(7, *texts("h", "i"), Outgoing.dropped(2), Outgoing.close(1000, ""), Outgoing.message("never"))
    box.sent_before(11, 7)
    assert (box.last, box.notes, box.close_number) == (11, 2, 11)
    assert box.acknowledge(11, 11)
    assert box.closed_cleanly
    assert box.unnumbered == 1
    box.sent_before(99, 11)
    assert box.last == 12


def test_nothing_goes_before_the_client_has_taken_what_it_has() -> None:
    """The sizes of that are not known."""
    box = outbox(7, *texts("h"))
    box.sent_before(7, 5)
    assert box.taken == 5
    assert box.peek(8, 10, 1000) == (8, [])
    box.acknowledge(7, 6)
    assert box.peek(8, 10, 1000) == (8, [])
    box.acknowledge(7, 7)
    assert contents(box.peek(8, 10, 1000)[1]) == ["mh"]


def test_only_the_first_request_tells_that() -> None:
    box = outbox(7, *texts("h"))
    box.sent_before(8, 6)
    assert (box.last, box.taken) == (8, 6)
    box.sent_before(8, 3)  # late
    assert box.taken == 6
    box.acknowledge(8, 8)
    with pytest.raises(RemoteProtocolError):
        box.acknowledge(9, 8)


def test_an_empty_one_counts_what_was_not_taken() -> None:
    box = outbox(3)
    box.sent_before(3, 1)
    assert box.taken == 1
    box.acknowledge(3, 3)
    box.rest()
    box.append(Outgoing.message("x"))
    assert contents(box.peek(4, 10, 1000)[1]) == ["mx"]


def test_what_a_client_says_it_has_not_taken_takes_no_room() -> None:
    """It may say that of all that there has ever been."""
    box = outbox(10**12, *texts("h"))
    box.sent_before(10**12, 0)
    assert box.taken == 10**12 - 1024
    for taken in (5, 10**12 - 1024, 10**12 - 1):
        box.acknowledge(10**12, taken)
        assert box.peek(10**12 + 1, 10, 1000)[1] == []
    box.acknowledge(10**12, 10**12)
    assert contents(box.peek(10**12 + 1, 10, 1000)[1]) == ["mh"]
