"""The sending half: numbers, windows, replay, drops (docs/protocol.md §1, §4, §6)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.core.errors import RemoteProtocolError
from realtime.core.frames import Group, Outgoing, RoomNote, Window
from realtime.core.outbox import MOST_OUTSTANDING, Outbox, starved
from realtime.core.queues import EMPTY

from .fakes import append_group, contents, texts

WIDE = Window(1000, 1_000_000)
ALL = 1000, 1_000_000  # limits of a batch that are never reached


def outbox(
    *items: str, window: Window = WIDE, max_messages: int = 100, max_bytes: int = 10_000, sent: int = 0
) -> Outbox:
    """An outbox with `items`, the first `sent` of which have been numbered."""
    box = Outbox(window, max_messages, max_bytes)
    for item in texts(*items):
        box.append(item)
    if sent:
        box.peek(1, sent, 1_000_000)
    return box


def give(box: Outbox, cursor: int, max_items: int = 1000, max_bytes: int = 1_000_000) -> tuple[int, list[str]]:
    """What peek gives, in words."""
    first, items = box.peek(cursor, max_items, max_bytes)
    return first, contents(items)


# -- numbering and replay --------------------------------------------------------------------------------------------


def test_numbers_are_given_at_the_first_peek_and_kept() -> None:
    box = outbox("a", "b", "c")
    assert (box.last, box.unnumbered, len(box), box.size, box.appended) == (0, 3, 3, 3, 3)
    assert give(box, 1, max_items=2) == (1, ["ma", "mb"])
    assert (box.last, box.unnumbered, len(box)) == (2, 1, 3)
    assert give(box, 3) == (3, ["mc"])
    assert give(box, 4) == (4, [])


def test_one_message_alone_is_numbered_as_by_a_peek() -> None:
    box = outbox("a")
    item = box.number(1)
    assert item is not None
    assert contents([item]) == ["ma"]
    assert (box.last, box.unnumbered, len(box), box.size, box.total, box.messages) == (1, 0, 1, 1, 1, 1)
    assert give(box, 1) == (1, ["ma"])
    box.append(Outgoing.message("b"))
    assert box.number(2) is not None
    assert box.acknowledge(2, 2)
    assert (len(box), box.size) == (0, 0)


@pytest.mark.parametrize(
    ("box", "cursor"),
    [
        (outbox(), 1),
        (outbox("a", "b"), 1),
        (outbox("a", "b", sent=1), 1),  # whose carrier has not been handed the one before
        (outbox(""), 1),
        (outbox("a", "b", sent=1, window=Window(1, 10)), 2),
        (outbox("a", "bb", sent=1, window=Window(9, 2)), 2),
        (outbox("aaa", window=Window(9, 2)), 1),
    ],
)
def test_where_there_is_more_to_look_at_nothing_is_numbered(box: Outbox, cursor: int) -> None:
    before = box.last, box.unnumbered
    assert box.number(cursor) is None
    assert (box.last, box.unnumbered) == before


def test_nothing_is_numbered_alone_while_the_peer_drains() -> None:
    box = outbox("a")
    box.held = True
    assert box.number(1) is None


def test_a_peek_without_a_commit_loses_nothing() -> None:
    box = outbox("a", "b")
    assert give(box, 1) == give(box, 1) == (1, ["ma", "mb"])


def test_replay_goes_on_into_what_is_new() -> None:
    box = outbox("a", "b", "c", sent=2)
    assert give(box, 2) == (2, ["mb", "mc"])


def test_what_was_acked_elsewhere_is_not_replayed_and_the_carrier_must_renumber() -> None:
    box = outbox("a", "b", "c", sent=3)
    box.acknowledge(2, 0)
    assert give(box, 1) == (3, ["mc"])
    assert give(box, 4) == (4, [])


def test_an_empty_outbox_has_nothing_for_anyone() -> None:
    box = outbox()
    assert not box.pending(1)
    assert give(box, 1) == (1, [])


def test_a_carrier_that_has_everything_has_nothing_pending() -> None:
    box = outbox("a", sent=1)
    assert box.pending(1)
    assert not box.pending(2)


@pytest.mark.parametrize(("limit", "expected"), [(1, ["ma"]), (2, ["ma", "mb"]), (4, ["ma", "mb", "mc", "md"])])
def test_a_batch_has_at_most_so_many_items_replayed_and_new_alike(limit: int, expected: list[str]) -> None:
    box = outbox("a", "b", "c", "d", sent=3)
    assert give(box, 1, max_items=limit) == (1, expected)
    assert box.last == max(3, limit)


def test_a_batch_has_at_most_so_many_bytes_but_one_item_at_least() -> None:
    box = outbox("aaaa", "bbbb", "c", "dddd")
    assert give(box, 1, max_bytes=3) == (1, ["maaaa"])
    assert give(box, 1, max_bytes=8) == (1, ["maaaa", "mbbbb"])
    assert give(box, 2, max_bytes=3) == (2, ["mbbbb"])
    assert give(box, 3, max_bytes=4) == (3, ["mc"])
    assert box.unnumbered == 1
    assert give(box, 3, max_bytes=5) == (3, ["mc", "mdddd"])
    assert give(box, 1, max_bytes=5) == (1, ["maaaa"])  # a replay is cut in the same way
    assert give(box, 1, max_bytes=4, max_items=4) == (1, ["maaaa"])


def test_a_replay_that_fills_a_batch_numbers_nothing_new() -> None:
    box = outbox("aa", "b", sent=1)
    assert give(box, 1, max_bytes=2) == (1, ["maa"])
    assert box.last == 1


# -- acks ------------------------------------------------------------------------------------------------------------


def test_received_frees_the_replay_and_taken_moves_the_window() -> None:
    box = outbox("aaa", "bb", "c", window=Window(2, 1000))
    assert give(box, 1) == (1, ["maaa", "mbb"])
    assert box.acknowledge(2, 0)
    assert (box.size, len(box), box.acked, box.taken) == (1, 1, 2, 0)
    assert not box.pending(3)
    assert box.acknowledge(2, 1)
    assert box.pending(3)
    assert give(box, 3) == (3, ["mc"])


def test_acks_in_any_order_the_highest_of_each_counts() -> None:
    box = outbox("a", "b", "c", "d", sent=4)
    assert box.acknowledge(4, 1)
    assert box.acknowledge(3, 3)  # older in one, newer in the other
    assert (box.acked, box.taken) == (4, 3)
    assert not box.acknowledge(2, 2)
    assert not box.acknowledge(4, 3)
    assert (box.acked, box.taken) == (4, 3)


@pytest.mark.parametrize(("received", "taken"), [(3, 0), (3, 3), (2, 3), (0, 1), (1, 2), (2**53 - 1, 0)])
def test_an_absurd_ack_raises_and_changes_nothing(received: int, taken: int) -> None:
    box = outbox("a", "b", "c", sent=2)
    with pytest.raises(RemoteProtocolError, match="2 is the highest number sent") as caught:
        box.acknowledge(received, taken)
    assert caught.value.close_code == 1002
    assert (box.acked, box.taken, len(box)) == (0, 0, 3)


# -- the peer's window -----------------------------------------------------------------------------------------------


def test_the_window_by_count() -> None:
    box = outbox("a", "b", "c", window=Window(2, 1000))
    assert give(box, 1) == (1, ["ma", "mb"])
    box.acknowledge(2, 2)
    assert give(box, 3) == (3, ["mc"])


def test_the_window_by_bytes() -> None:
    box = outbox("aaaa", "bbbb", "c", window=Window(10, 9))
    assert give(box, 1) == (1, ["maaaa", "mbbbb", "mc"])
    box = outbox("aaaa", "bbbb", "c", window=Window(10, 7))
    assert give(box, 1) == (1, ["maaaa"])  # no overtaking: c would fit
    box.acknowledge(1, 0)
    assert not box.pending(2)  # received and not taken still counts
    box.acknowledge(1, 1)
    assert give(box, 2) == (2, ["mbbbb", "mc"])


def test_a_message_larger_than_the_window_goes_alone() -> None:
    box = outbox("a", "x" * 50, "b", window=Window(10, 7))
    assert give(box, 1) == (1, ["ma"])
    box.acknowledge(1, 0)
    assert not box.pending(2)
    box.acknowledge(1, 1)
    assert give(box, 2) == (2, ["m" + "x" * 50])
    assert not box.pending(3)  # and nothing beside it
    box.acknowledge(2, 2)
    assert give(box, 3) == (3, ["mb"])


def test_starved_once_until_there_is_something_new() -> None:
    """Of less than a quarter of its window the peer need not tell before long."""
    box = outbox("a", "b", window=Window(16, 8))
    assert not starved(box)  # nothing is outstanding
    give(box, 1)
    assert not starved(box)  # nothing waits
    box.append(Outgoing.message("x" * 8))
    assert not starved(box)  # the peer tells when it has taken a quarter
    box.acknowledge(2, 1)
    assert starved(box)
    assert not starved(box)
    box.acknowledge(2, 2)
    assert not starved(box)  # it may go
    assert give(box, 3) == (3, ["m" + "x" * 8])


@pytest.mark.parametrize("which", ["held", "initial"])
def test_who_may_send_nothing_new_is_not_starved(which: str) -> None:
    box = outbox("a", "x" * 8, window=Window(16, 8), sent=1)
    setattr(box, which, True)
    assert not starved(box)
    setattr(box, which, False)
    assert starved(box)


def test_a_close_needs_no_window() -> None:
    box = outbox("a", window=Window(1, 1))
    box.append(Outgoing.close(1000, ""))
    assert give(box, 1) == (1, ["ma", "c1000"])
    assert box.close_number == 2


def test_a_close_waits_behind_what_the_window_holds_back() -> None:
    box = outbox("a", "b", window=Window(1, 1))
    box.append(Outgoing.close(1000, ""))
    assert give(box, 1) == (1, ["ma"])
    assert box.close_number is None
    box.acknowledge(1, 1)
    assert give(box, 2) == (2, ["mb", "c1000"])


def test_a_note_counts_as_a_message_of_no_bytes() -> None:
    box = outbox("a", window=Window(2, 1))
    box.append(Outgoing.dropped(5))
    box.append(Outgoing.dropped(6))
    assert give(box, 1) == (1, ["ma", "d5"])


def test_nothing_new_is_numbered_while_the_peer_drains_but_replay_goes_on() -> None:
    box = outbox("a", "b", sent=1)
    box.held = True
    assert give(box, 1) == (1, ["ma"])
    assert not box.pending(2)
    box.held = False
    assert give(box, 2) == (2, ["mb"])


# -- closing ---------------------------------------------------------------------------------------------------------


def test_closed_cleanly_when_the_close_is_acked() -> None:
    box = outbox("a")
    assert not box.closed_cleanly
    box.append(Outgoing.close(1000, ""))
    box.peek(1, *ALL)
    assert not box.closed_cleanly
    box.acknowledge(1, 1)
    assert not box.closed_cleanly
    box.acknowledge(2, 1)
    assert box.closed_cleanly


def test_unacknowledged_lists_messages_only_oldest_first() -> None:
    box = outbox("a", "b", sent=2)
    box.append(Outgoing.message(b"c"))
    box.append(Outgoing.dropped(2))
    box.append(Outgoing.close(1000, "why"))
    box.acknowledge(1, 0)
    assert box.unacknowledged() == ["b", b"c"]


# -- room, and drops -------------------------------------------------------------------------------------------------


def test_room_by_count_and_by_bytes() -> None:
    box = outbox("aaa", max_messages=2, max_bytes=5)
    assert box.has_room(2)
    assert not box.has_room(3)
    box.append(*texts("b"))
    assert not box.has_room(0)


def test_an_empty_outbox_takes_a_message_of_any_size() -> None:
    box = outbox(max_bytes=5)
    assert box.has_room(6)
    box.append(*texts("x" * 6))
    assert not box.has_room(0)


@pytest.mark.parametrize("queue", [Outbox.append, Outbox.offer])
def test_half_full_by_count_or_by_bytes(queue: Callable[[Outbox, Outgoing], bool | None]) -> None:
    (item,) = texts("x")
    assert queue(outbox(max_messages=3), item) is False
    assert queue(outbox("a", max_messages=3), item) is True
    assert queue(outbox("a", max_bytes=5), item) is False
    assert queue(outbox("aa", max_bytes=5), item) is True
    box = outbox("a", "b", max_messages=4, sent=2)
    assert queue(box, item) is True
    box.acknowledge(2, 0)
    assert queue(outbox("a", "b", "c", max_messages=8), item) is True


@pytest.mark.parametrize("messages", range(4))
@pytest.mark.parametrize("size", [0, 1, 4, 5, 6])
def test_what_is_offered_is_queued_where_there_is_room(messages: int, size: int) -> None:
    box = outbox(*("a" * messages), max_messages=3, max_bytes=5)
    before = (len(box), box.size, box.appended)
    room = box.has_room(size)
    offered = box.offer(*texts("x" * size))
    assert (offered is not None) is room
    assert (len(box), box.size, box.appended) == ((before[0] + 1, before[1] + size, before[2] + 1) if room else before)


def test_what_was_sent_and_not_acked_takes_room() -> None:
    box = outbox("a", "b", sent=2, max_messages=2)
    assert not box.has_room(1)
    box.acknowledge(1, 0)
    assert box.has_room(1)


def test_make_room_does_nothing_where_there_is_room() -> None:
    box = outbox("a")
    assert box.make_room(1)
    assert (box.dropped, box.unacknowledged()) == (0, ["a"])


def test_the_oldest_unnumbered_are_dropped_and_noted() -> None:
    box = outbox("a", "b", "c", "d", max_messages=4, sent=1)
    assert box.make_room(1)  # the note takes the place of the first, so a second must go
    assert box.dropped == 2
    box.append(*texts("e"))
    assert give(box, 1) == (1, ["ma", "d2", "md", "me"])


def test_runs_of_drops_merge_into_one_note() -> None:
    box = outbox("a", "b", "c", max_messages=3)
    for new in texts("d", "e", "f"):
        assert box.make_room(1)
        box.append(new)
    assert box.dropped == 4
    assert len(box) == 3
    assert give(box, 1) == (1, ["d4", "me", "mf"])


def test_as_many_are_dropped_as_the_bytes_need() -> None:
    box = outbox("aa", "bb", "cc", "dd", max_bytes=8)
    assert box.make_room(5)
    assert (box.dropped, box.size) == (3, 2)
    assert give(box, 1) == (1, ["d3", "mdd"])


def test_numbered_messages_are_never_dropped_and_the_newest_waits_beyond_them() -> None:
    box = outbox("a", "b", sent=2, max_messages=2)
    for new in texts("c", "d", "e"):
        assert box.make_room(1)
        box.append(new)
        assert not box.has_room(1)
        assert (box.pending(3), box.number(3), give(box, 3)) == (False, None, (3, []))
    assert (box.dropped, len(box)) == (2, 4)
    assert give(box, 1) == (1, ["ma", "mb"])  # again, on another carrier
    box.acknowledge(1, 0)
    assert (box.pending(3), box.number(3), give(box, 3)) == (False, None, (3, []))  # a note, too, makes it two too many
    box.acknowledge(2, 0)
    assert box.pending(3)
    assert give(box, 3) == (3, ["d2", "me"])


def test_the_newest_waits_beyond_the_bytes_that_were_sent() -> None:
    box = outbox("a" * 8, sent=1, max_bytes=10)
    for new in texts("b" * 10, "c" * 10):
        assert box.make_room(10)
        box.append(new)
        assert (box.pending(2), box.number(2)) == (False, None)
    assert (box.dropped, box.size) == (1, 18)
    box.acknowledge(1, 0)
    assert give(box, 2) == (2, ["d1", "m" + "c" * 10])


def test_one_message_waits_beyond_the_limits_and_goes_alone() -> None:
    box = outbox("a", sent=1, max_messages=1)
    assert box.make_room(1)
    box.append(*texts("b"))
    assert (box.pending(2), box.number(2)) == (False, None)
    box.acknowledge(1, 0)
    number = box.number(2)
    assert number is not None
    assert number.data == "b"


def test_nothing_waits_in_front_of_a_close() -> None:
    box = outbox("a", sent=1, max_messages=1)
    assert box.make_room(1)
    box.append(*texts("b"))
    assert not box.pending(2)
    box.append(Outgoing.close(1000, "bye"))
    assert box.pending(2)
    assert give(box, 2) == (2, ["mb", "c1000"])


def test_what_is_kept_beyond_the_limits_leaves_no_room_for_the_newest() -> None:
    box = outbox("a", "b", sent=2, max_messages=2)
    kept = Group("kept", kept=True).parts[0]
    assert box.make_room(4)
    box.append(kept)
    assert not box.make_room(1)
    box.drop_new()
    box.drop_new()
    assert box.dropped == 2
    box.acknowledge(2, 0)
    assert give(box, 3) == (3, ["mkept", "d2"])


def test_a_message_that_is_dropped_leaves_its_place_to_the_newest() -> None:
    box = outbox("a", max_messages=1)
    assert box.make_room(1)
    box.append(*texts("b"))
    assert (box.dropped, len(box)) == (1, 2)
    assert give(box, 1) == (1, ["d1", "mb"])


def test_nothing_is_dropped_in_vain() -> None:
    """What may not be dropped, sent or to be kept, and is beyond the limits, leaves no room: neither what waits is
    dropped, nor a part of it."""
    box = outbox("sent 1", *"abc", sent=1, max_messages=10, max_bytes=9)
    assert box.make_room(2)
    assert (box.dropped, [item.kind for item in box.waiting]) == (2, ["d", "m"])
    box.append(Group("kept", kept=True).parts[0])  # there was no room for so much
    for size in (0, 1, 6):
        assert not box.make_room(size)
    assert (box.dropped, [item.kind for item in box.waiting]) == (2, ["d", "m", "m"])


def test_a_note_that_was_numbered_stays_and_a_new_run_gets_its_own() -> None:
    box = outbox(max_messages=2)
    box.drop_new(2)
    box.peek(1, *ALL)
    box.drop_new()
    assert give(box, 1) == (1, ["d2", "d1"])
    assert box.size == 0


def test_a_drop_behind_messages_is_noted_behind_them() -> None:
    box = outbox("a")
    box.drop_new()
    assert give(box, 1) == (1, ["ma", "d1"])


def test_a_note_behind_messages_is_merged_when_its_turn_comes() -> None:
    box = Outbox(WIDE, 3, 10_000)
    for item in (*texts("a"), Outgoing.dropped(3), *texts("b")):
        box.append(item)
    assert box.make_room(1)  # "a" makes a note, which swallows the other
    assert (box.dropped, give(box, 1)) == (1, (1, ["d4", "mb"]))


def test_a_note_behind_messages_keeps_its_count_when_room_is_made() -> None:
    box = outbox("a", "b", max_messages=4)
    box.drop_new()
    box.drop_new()
    box.append(*texts("c"))
    assert not box.has_room(1)
    assert box.make_room(1)
    assert box.dropped == 4
    _, items = box.peek(1, *ALL)
    assert sum(item.code for item in items) == 4  # in one note or two
    assert contents(items)[-1] == "mc"
    box = outbox("a", max_messages=3)
    box.drop_new()
    box.append(*texts("b"))
    assert box.make_room(1)
    assert box.dropped == 2
    assert give(box, 1) == (1, ["d2", "mb"])


# -- counters --------------------------------------------------------------------------------------------------------


def test_messages_are_counted_when_they_are_first_handed_out_and_replays_apart() -> None:
    box = outbox("one", "two", "three")
    assert (box.messages, box.total, box.replayed) == (0, 0, 0)
    give(box, 1, max_items=2)
    assert (box.messages, box.total, box.replayed) == (2, 6, 0)
    give(box, 2)  # "two" again, and "three"
    assert (box.messages, box.total, box.replayed) == (3, 11, 1)
    give(box, 1, max_items=2)
    assert (box.messages, box.total, box.replayed) == (3, 11, 3)
    box.acknowledge(3, 3)
    give(box, 4)
    assert (box.messages, box.total, box.replayed) == (3, 11, 3)


def test_notes_and_closes_are_no_messages_but_an_empty_message_is_one() -> None:
    box = outbox("")
    box.append(Outgoing.dropped(3))
    box.append(Outgoing.close(1000, "bye"))
    give(box, 1)
    assert (box.last, box.messages, box.notes, box.total) == (3, 1, 2, 0)


def test_of_a_huge_window_so_much_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    huge = Window(2**53 - 1, 2**53 - 1)
    assert Outbox(huge, 10, 1000).window == Window(MOST_OUTSTANDING, 2**53 - 1)
    most = 1000  # of which the rest holds as it does of many more
    monkeypatch.setattr("realtime.core.outbox.MOST_OUTSTANDING", most)
    box = Outbox(huge, 10, 1000)
    assert box.window == Window(most, 2**53 - 1)
    for number in range(1, most + 2):
        box.append(Outgoing.message("x"))
        box.peek(number, 1, 100)
        box.acknowledge(min(number, most), 0)
    assert (box.last, box.unnumbered, len(box._sizes)) == (most, 1, most)
    box.acknowledge(most, 1)
    assert box.pending(1)
    box.window = Window(5, 2**53 - 1)
    assert box.window == Window(5, 2**53 - 1)


# -- groups ----------------------------------------------------------------------------------------------------------


def test_a_group_is_numbered_like_any_messages() -> None:
    box = outbox("a")
    append_group(box, Outgoing.group("event", b"one", b"two"))
    box.append(Outgoing.message("z"))
    assert (len(box), box.unnumbered, box.appended, box.size) == (5, 5, 5, 13)
    assert give(box, 1) == (1, ["ma", "mevent", "bb'one'", "bb'two'", "mz"])
    assert (box.last, box.messages, box.dropped) == (5, 5, 0)


def test_room_for_a_group() -> None:
    box = outbox("a", max_messages=4, max_bytes=10)
    assert box.has_room(9, 3)
    assert not box.has_room(9, 4)
    assert not box.has_room(10, 3)
    assert outbox(max_messages=2, max_bytes=1).has_room(100, 3)  # an empty outbox takes it


def test_a_group_is_dropped_whole() -> None:
    box = outbox(max_messages=4)
    append_group(box, Outgoing.group("event", b"one", b"two"))
    box.append(Outgoing.message("z"))
    assert box.make_room(1)
    assert give(box, 1) == (1, ["d3", "mz"])
    assert (box.dropped, box.size) == (3, 1)


def test_a_group_that_is_shared_may_go_to_one_and_be_dropped_for_another() -> None:
    group = Outgoing.group("event", b"one")
    quick, slow = outbox(), outbox(max_messages=2)
    for box in (quick, slow):
        append_group(box, group)
    assert slow.make_room(1)
    slow.append(Outgoing.message("z"))
    assert give(quick, 1) == (1, ["mevent", "bb'one'"])
    assert give(slow, 1) == (1, ["d2", "mz"])


def test_the_rest_of_a_group_that_has_begun_is_kept_and_what_is_behind_it_dropped() -> None:
    box = outbox(max_messages=5)
    append_group(box, Outgoing.group("event", b"one", b"two"))
    assert give(box, 1, max_items=1) == (1, ["mevent"])
    append_group(box, Outgoing.group("next", b"three"))
    assert box.make_room(1)
    box.append(Outgoing.message("z"))
    assert give(box, 2) == (2, ["bb'one'", "bb'two'", "d2", "mz"])
    assert box.dropped == 2


def test_runs_of_drops_behind_a_group_that_has_begun_merge_into_one_note() -> None:
    box = outbox(max_messages=4)
    append_group(box, Outgoing.group("event", b"one"))
    assert give(box, 1, max_items=1) == (1, ["mevent"])
    for content in ("a", "b", "c", "d"):
        assert box.make_room(1)
        box.append(Outgoing.message(content))
    assert give(box, 2) == (2, ["bb'one'", "d3", "md"])


def test_the_rest_of_a_group_that_has_begun_goes_and_the_newest_waits_behind_it() -> None:
    box = outbox(max_messages=3)
    append_group(box, Outgoing.group("event", b"one", b"two"))
    give(box, 1, max_items=2)
    for name in ("next", "last"):
        assert box.make_room(5, 2)
        append_group(box, Outgoing.group(name, b"three"))
    assert box.pending(3)
    assert give(box, 3) == (3, ["bb'two'"])
    assert (box.pending(4), give(box, 4)) == (False, (4, []))
    box.acknowledge(3, 3)
    assert give(box, 4) == (4, ["d2", "mlast", "bb'three'"])
    assert box.dropped == 2


@given(
    st.lists(
        st.tuples(st.sampled_from(("send", "offer", "peek", "ack")), st.integers(1, 4), st.integers(0, 3)), max_size=60
    ),
    st.integers(1, 8),
    st.integers(1, 40),
)
@settings(deadline=None)
def test_nobody_gets_a_part_of_a_group(steps: list[tuple[str, int, int]], most: int, size: int) -> None:
    box = Outbox(Window(6, 30), most, size)
    got: list[Outgoing] = []
    offered = 0
    for what, count, length in steps:
        group = Outgoing.group(*(f"{offered + number}".ljust(length, ".") for number in range(count)))
        total = sum(item.size for item in group)
        if what == "send" and box.has_room(total, count):
            offered += count
            append_group(box, group)
        elif what == "offer":
            offered += count
            if box.make_room(total, count):
                append_group(box, group)
            else:
                box.drop_new(count)
        elif what == "peek":
            got += box.peek(len(got) + 1, count, 1000)[1]
        else:
            box.acknowledge(box.last, box.last)
    while box.unnumbered:
        box.acknowledge(box.last, box.last)
        got += box.peek(len(got) + 1, 100, 1000)[1]
    expected = missing = 0
    for item in got:
        if item.kind == "d":
            assert not missing  # never inside a group
            expected += item.code
        else:
            assert str(item.data).rstrip(".") == str(expected)
            assert not missing or item.behind == missing - 1
            missing = item.behind
            expected += 1
    assert (expected, missing, len(got)) == (offered, 0, box.last)
    assert box.dropped == sum(item.code for item in got if item.kind == "d")


@given(
    st.lists(st.tuples(st.sampled_from(("offer", "peek", "ack")), st.integers(1, 9)), max_size=80),
    st.integers(1, 6),
    st.integers(9, 30),
)
@settings(deadline=None)
def test_the_newest_is_never_dropped_and_what_is_kept_is_bounded(
    steps: list[tuple[str, int]], most: int, size: int
) -> None:
    box = Outbox(WIDE, most, size)
    got: list[Outgoing] = []
    offered = 0
    for what, count in steps:
        if what == "offer":
            offered += 1
            (item,) = texts(f"{offered}".ljust(count, "."))
            assert box.make_room(item.size)
            box.append(item)
        elif what == "peek":
            got += box.peek(box.last + 1, count, 1000)[1]
        else:
            box.acknowledge(min(box.acked + count, box.last), box.taken)
        assert len(box) <= max(most, 2) + 2
        assert box.last - box.acked <= max(most, 2)
        assert box.size <= 2 * size
        assert sum(item.kind == "m" for item in box.waiting) <= most
    while box.unnumbered:
        assert box.pending(box.last + 1) or box.last > box.acked
        box.acknowledge(box.last, box.taken)
        got += box.peek(box.last + 1, *ALL)[1]
    expected = 0
    for item in got:
        expected += item.code or 1
        assert item.kind == "d" or str(item.data).rstrip(".") == str(expected)
    assert expected == offered
    assert not got or got[-1].kind == "m"


def test_positions_of_rooms_are_not_dropped_and_keep_their_places() -> None:
    box = outbox("a", max_messages=6)
    for number, text in enumerate(texts("b", "c", "d")):
        box.append(RoomNote(f"room {number}", "1"))
        if number < 2:
            box.append(text)
    assert [item.kind for item in box.waiting] == ["m", "h-", "m", "h-", "m", "h-"]
    assert box.make_room(1)
    assert [item.kind for item in box.waiting] == ["d", "h-", "h-", "m", "h-"]
    assert box.waiting[0].code == box.dropped == 2
    assert box.make_room(1, 2)
    assert [item.kind for item in box.waiting] == ["d", "h-", "h-", "h-"]
    assert box.waiting[0].code == 3
    assert box.make_room(1, 3)
    assert [item.kind for item in box.waiting] == ["d", "h-", "h-", "h-"]
    box.peek(1, 100, 1000)
    assert (box.last, box.notes, box.messages, box.unacknowledged()) == (4, 4, 0, [])


def test_an_outbox_that_rests_takes_no_room_and_goes_on() -> None:
    box = outbox()
    for number in range(1, 3):
        (item,) = texts("x")
        box.rest()
        assert box.waiting is EMPTY
        box.append(item)
        box.rest()
        assert give(box, number) == (number, ["mx"])
        box.rest()
        assert box._sent is not EMPTY  # it may have to be sent again
        box.acknowledge(number, number)
        box.rest()
        assert [queue is EMPTY for queue in (box.waiting, box._sent, box._sizes)] == [True] * 3
    assert not EMPTY


def test_what_is_to_be_kept_is_never_dropped() -> None:
    box = outbox(max_messages=5)
    box.append(Outgoing.message("a"))
    for part in Group("reply", b"one", kept=True).parts:
        box.append(part)
    box.append(Outgoing.message("z"))
    assert box.make_room(1, 2)
    assert box.make_room(1, 4)
    assert give(box, 1) == (1, ["d2", "mreply", "bb'one'"])
    full = outbox(max_messages=1)
    for _ in range(3):
        full.append(Group("reply", kept=True).parts[0])
    assert not full.make_room(1)


def test_the_rest_of_a_group_that_has_begun_is_numbered_while_the_peer_drains() -> None:
    box = outbox()
    append_group(box, Outgoing.group("event", b"one", b"two"))
    append_group(box, Outgoing.group("next", b"three"))
    give(box, 1, max_items=1)
    box.held = True
    assert (box.begun, box.pending(2)) == (True, True)
    assert give(box, 2, max_items=1) == (2, ["bb'one'"])
    assert give(box, 3) == (3, ["bb'two'"])
    assert (box.begun, box.pending(4), give(box, 4)) == (False, False, (4, []))


def test_a_group_that_has_not_arrived_to_its_end_is_unacknowledged_as_a_whole() -> None:
    box = outbox("before")
    append_group(box, Outgoing.group("event", b"one", b"two"))
    append_group(box, Outgoing.group("next", b"three"))
    give(box, 1, max_items=4)
    group: list[str | bytes] = ["event", b"one", b"two"]
    behind: list[str | bytes] = ["next", b"three"]
    for received in (1, 2, 3):
        box.acknowledge(received, received)
        assert (box.unacknowledged(), box.size) == (group + behind, 20)
    box.acknowledge(4, 4)
    assert (box.unacknowledged(), box.size) == (behind, 9)
    give(box, 5)
    box.acknowledge(5, 5)
    assert box.unacknowledged() == behind
    box.acknowledge(6, 6)
    box.rest()
    assert (box.unacknowledged(), box.size, box._half is EMPTY) == ([], 0, True)


@given(st.lists(st.tuples(st.sampled_from(("append", "peek", "ack")), st.integers(1, 5)), max_size=60))
@settings(deadline=None)
def test_what_is_unacknowledged_is_whole_groups(steps: list[tuple[str, int]]) -> None:
    box = Outbox(Window(6, 1000), 1000, 10_000)
    groups: list[list[str | bytes]] = []
    for what, count in steps:
        if what == "append":
            groups.append([f"{len(groups)}", *(b"%d.%d" % (len(groups), part) for part in range(1, count))])
            append_group(box, Outgoing.group(*groups[-1]))
        elif what == "peek":
            box.peek(box.last + 1, count, 1000)
        else:
            received = min(box.acked + count, box.last)
            box.acknowledge(received, received)
        left, numbers = box.unacknowledged(), box.acked
        rest = [*groups]
        while rest and numbers >= len(rest[0]):
            numbers -= len(rest.pop(0))
        assert left == [message for group in rest for message in group]
        assert box.size == sum(map(len, left))


def test_what_belongs_to_a_message_needs_no_window_once_there_is_one() -> None:
    box = outbox("before", window=Window(2, 20))
    append_group(box, Outgoing.group("event", b"x" * 50, b"two"))
    append_group(box, Outgoing.group("next", b"three"))
    assert [len(text) for text in give(box, 1)[1]] == [7, 6, 54, 7]
    assert give(box, 5) == (5, [])
    box.acknowledge(4, 4)
    assert give(box, 5) == (5, ["mnext", "bb'three'"])
    initial = outbox(window=Window(2, 20))
    initial.initial = True
    append_group(initial, Outgoing.group("event", b"x" * 50))
    assert give(initial, 1) == (1, ["mevent"])
    initial.initial = False
    assert len(give(initial, 2)[1]) == 1
