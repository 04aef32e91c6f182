"""The receiving half: the window, and which acks are owed (docs/protocol.md §6)."""

from __future__ import annotations

import dataclasses

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.core.config import Config
from realtime.core.errors import RemoteProtocolError
from realtime.core.frames import Dropped, Outgoing, RoomMessage, RoomPosition, Window
from realtime.core.inbox import Inbox
from realtime.core.outbox import Outbox
from realtime.core.queues import EMPTY
from realtime.core.rates import Meter

from .fakes import append_group

NEVER = float("inf")
NOW = float("-inf")  # due already
DELAY = 1.0
WINDOW = Window(16, 1600)


def inbox(*sizes: int, window: Window = WINDOW, now: float = 0.0) -> Inbox:
    """An inbox that has received messages of these sizes."""
    box = Inbox(window)
    for number, size in enumerate(sizes, 1):
        box.put(f"message {number}", size, now)
    return box


def test_first_in_first_out() -> None:
    box = Inbox(Window(16, 1600))
    for item in ("text", b"bytes", Dropped(3)):
        box.put(item, 4, 0.0)
    assert (len(box), box.size, box.received, box.taken) == (3, 12, 3, 0)
    assert box.take(0.0) == "text"
    assert (len(box), box.size, box.ack()) == (2, 8, (3, 1))
    assert box.take(0.0) == b"bytes"
    assert box.take(0.0) == Dropped(3)
    with pytest.raises(IndexError):
        box.take(0.0)
    assert box.ack() == (3, 3)


# -- the window ------------------------------------------------------------------------------------------------------


def test_the_window_exceeded_by_count() -> None:
    box = inbox(0, 0, window=Window(2, 100))
    with pytest.raises(RemoteProtocolError, match="2 messages, 100 bytes") as caught:
        box.put("one more", 0, 0.0)
    assert caught.value.close_code == 1002
    assert box.received == 2
    box.take(0.0)
    box.put("now it fits", 0, 0.0)


def test_the_window_exceeded_by_bytes() -> None:
    box = inbox(60, 40, window=Window(10, 100))
    with pytest.raises(RemoteProtocolError):
        box.put("one byte more", 1, 0.0)
    box.put("none", 0, 0.0)
    box.take(0.0)
    box.put("now it fits", 60, 0.0)


def test_a_message_larger_than_the_window_may_come_when_all_before_it_was_taken() -> None:
    box = inbox(101, window=Window(10, 100))
    assert box.size == 101
    with pytest.raises(RemoteProtocolError):
        box.put("beside it", 1, 0.0)
    box.take(0.0)
    box.put("and again", 1000, 0.0)
    assert box.received == 2


def test_an_oversize_message_behind_an_empty_one_exceeds_the_window() -> None:
    box = inbox(0, window=Window(10, 100))
    with pytest.raises(RemoteProtocolError):
        box.put("too much", 101, 0.0)


def test_a_close_is_counted_without_room() -> None:
    box = inbox(1, 1, window=Window(2, 2))
    box.count(0, 0.0)
    assert (box.received, len(box)) == (3, 2)


def test_a_close_behind_what_was_taken_waits_no_longer_than_that() -> None:
    box = inbox(1)
    box.announced(1, 0)
    box.take(2.0)
    box.count(0, 3.0)
    assert box.owed_since == 2.0
    box.announced(1, 1)
    assert box.owed_since == 3.0


def test_discard_counts_everything_as_taken() -> None:
    box = inbox(5, 6)
    box.discard(3.0)
    assert (len(box), box.size, box.ack()) == (0, 0, (2, 2))
    box.discard(4.0)
    assert box.ack() == (2, 2)


# -- acks ------------------------------------------------------------------------------------------------------------


def test_a_new_inbox_owes_nothing() -> None:
    box = inbox()
    assert not box.news
    assert box.due_at(DELAY) == NEVER
    assert not box.due(1e9, DELAY)


def test_an_ack_is_due_some_time_after_the_oldest_received() -> None:
    box = inbox(1, now=10.0)
    box.put("later", 1, 10.7)
    assert box.news
    assert box.due_at(DELAY) == 11.0
    assert not box.due(10.9, DELAY)
    assert box.due(11.0, DELAY)


def test_taking_is_news_of_its_own() -> None:
    box = inbox(1, 1, now=10.0)
    box.announced(2, 0)
    assert not box.news
    assert box.due_at(DELAY) == NEVER
    box.take(20.0)
    box.take(20.5)
    assert box.news
    assert box.due_at(DELAY) == 21.0


def test_the_older_of_received_and_taken_decides() -> None:
    box = inbox(1, now=10.0)
    box.announced(1, 0)
    box.take(12.0)
    box.put("next", 1, 13.0)
    assert box.due_at(DELAY) == 13.0
    box = inbox(1, now=10.0)
    box.take(12.0)
    assert box.due_at(DELAY) == 11.0


@pytest.mark.parametrize(("count", "due"), [(3, False), (4, True)])
def test_a_quarter_of_the_window_received(count: int, due: bool) -> None:
    assert inbox(*[0] * count).due(0.0, DELAY) is due


@pytest.mark.parametrize(("size", "due"), [(399, False), (400, True)])
def test_a_quarter_of_the_window_in_bytes(size: int, due: bool) -> None:
    box = inbox(size)
    assert box.due(0.0, DELAY) is due
    assert (box.due_at(DELAY) == NOW) is due
    box.announced(1, 0)
    assert not box.due(0.0, DELAY)
    box.take(0.0)
    assert box.due(0.0, DELAY) is due


@pytest.mark.parametrize(("share", "count", "size"), [(1.0, 4, 400), (0.75, 3, 300)])
def test_or_a_part_of_it(share: float, count: int, size: int) -> None:
    def due(*sizes: int) -> bool:
        box = Inbox(WINDOW)
        box.announce_by(share)
        for number in sizes:
            box.put("x", number, 0.0)
        return box.due(0.0, DELAY)

    assert due(*[0] * count)
    assert not due(*[0] * (count - 1))
    assert due(size)
    assert not due(size - 1)


def test_a_quarter_of_the_window_taken() -> None:
    box = inbox(0, 0, 0, 0)
    box.announced(4, 0)
    for _ in range(3):
        box.take(0.0)
    assert not box.due(0.0, DELAY)
    box.take(0.0)
    assert box.due(0.0, DELAY)
    box.announced(4, 4)
    assert not box.news
    assert not box.due(1e9, DELAY)


def test_who_has_asked_is_told_at_once_when_all_was_taken() -> None:
    box = inbox(1, 1)
    box.take(0.0)
    box.ask()
    box.announced(2, 1)
    box.put("later", 1, 5.0)
    assert box.due_at(DELAY) == 6.0
    box.take(5.0)
    assert box.due_at(DELAY) == NOW
    box.announced(2, 1)  # from before
    assert box.due_at(DELAY) == NOW
    box.announced(3, 2)
    box.take(7.0)
    assert box.due_at(DELAY) == 8.0  # which was not asked for
    box.announced(3, 3)
    box.ask()  # where there is nothing to wait for
    box.put("more", 1, 9.0)
    box.take(9.0)
    assert box.due_at(DELAY) == 10.0


def test_an_ack_of_less_leaves_the_rest_due() -> None:
    box = inbox(1, 1, now=10.0)
    box.announced(1, 0)
    assert box.news
    assert box.due_at(DELAY) == 11.0


def test_an_ack_from_before_the_last_was_taken_leaves_that_due() -> None:
    box = inbox(1, 1, now=10.0)
    box.take(11.0)
    box.take(12.0)
    box.announced(2, 1)
    assert box.news
    assert box.due_at(DELAY) == 12.0  # it was the first of the two that started the clock


def test_an_older_ack_takes_nothing_back() -> None:
    box = inbox(1, 1)
    box.announced(2, 0)
    box.announced(1, 0)
    assert not box.news


def test_what_may_be_lost_is_due_again_at_once() -> None:
    box = inbox(1)
    box.announced(1, 0)
    box.unannounced()
    assert box.news
    assert box.due_at(DELAY) == NOW
    assert box.due(0.0, DELAY)
    box.announced(1, 0)
    assert not box.news
    assert box.due_at(DELAY) == NEVER


def test_where_nothing_was_received_no_ack_can_be_lost() -> None:
    box = inbox()
    box.unannounced()
    assert not box.news
    assert box.due_at(DELAY) == NEVER


# -- counters --------------------------------------------------------------------------------------------------------


def test_payload_is_added_up_and_what_is_noted_is_no_message() -> None:
    box = inbox(3, 0, 4)
    box.take(0.0)
    assert (box.messages, box.total) == (3, 7)
    box.count(0, 0.0)
    box.notes += 1
    assert (box.received, box.messages, box.total) == (4, 3, 7)


# -- rates -----------------------------------------------------------------------------------------------------------


def metered(rate: float = 1.0, *, messages: int = 16, burst: float = 1.0, **settings: float) -> Inbox:
    """An inbox for one message a second."""
    config = Config(max_message_rate=rate, rate_burst=burst, **settings)  # type: ignore[arg-type] # rates are numbers
    return Inbox(Window(messages, 1600), Meter.of(config, 0.0))


def test_what_came_too_fast_is_given_at_once_and_counts_as_taken_later() -> None:
    box = metered()
    for number in range(4):
        box.put(f"message {number}", 10, 0.0)
    assert [box.take(0.0) for _ in range(4)] == [f"message {number}" for number in range(4)]
    assert (len(box), box.size, box.ack()) == (0, 30, (4, 1))
    for now, taken in ((0.5, 1), (1.0, 2), (2.9, 3), (3.0, 4)):
        box.release(now)
        assert box.ack() == (4, taken)
    assert box.size == 0


def test_a_slow_application_is_not_held_back_twice() -> None:
    box = metered()
    for number in range(4):
        box.put(str(number), 10, 0.0)
    assert box.take(10.0) == "0"
    assert box.take(10.0) == "1"
    assert box.ack() == (4, 2)
    box.put("late", 10, 10.0)
    assert [box.take(10.0) for _ in range(3)] == ["2", "3", "late"]
    assert box.ack() == (5, 5)


def test_the_window_holds_for_what_is_withheld() -> None:
    box = metered()
    for number in range(16):
        box.put(str(number), 1, 0.0)
        box.take(0.0)
    assert box.ack() == (16, 1)
    box.put("one more", 1, 0.0)
    with pytest.raises(RemoteProtocolError, match="window"):
        box.put("and another", 1, 0.0)


def test_the_rate_may_close() -> None:
    box = Inbox(Window(16, 1600), Meter.of(Config(max_message_rate=1, rate_burst=1, on_rate="close"), 0.0))
    box.put("one", 1, 0.0)
    with pytest.raises(RemoteProtocolError) as caught:
        box.put("two", 1, 0.0)
    assert (caught.value.close_code, box.received) == (1008, 1)


@pytest.mark.parametrize("limited", [False, True])
def test_what_waits_from_before_is_within_all_limits(limited: bool) -> None:
    config = Config(max_message_rate=1, rate_burst=1, on_rate="close")
    box = Inbox(Window(2, 9), Meter.of(config, 0.0) if limited else None)
    box.restore([], 5.0)
    assert box.items is EMPTY
    box.restore([9, 0, 9], 5.0)
    assert (box.received, box.size, box.total, box.has_room(0), box.releases_at) == (3, 18, 18, False, float("inf"))
    box.take(5.0)
    box.take(5.0)
    assert (box.taken, box.has_room(0), box.has_room(1)) == (2, True, False)


def test_discarding_asks_for_no_rate() -> None:
    box = metered()
    for number in range(4):
        box.put(str(number), 10, 0.0)
    box.take(0.0)
    box.take(0.0)
    box.discard(0.0)
    assert (len(box), box.size, box.ack()) == (0, 0, (4, 4))
    box.put("more", 10, 0.0)
    box.discard(0.0)
    assert box.ack() == (5, 5)


def test_the_ack_of_what_is_withheld_is_due_a_delay_after_it_counts() -> None:
    box = metered()
    box.put("one", 1, 0.0)
    box.put("two", 1, 0.0)
    box.take(0.0)
    box.take(0.0)
    box.announced(*box.ack())
    assert not box.news
    assert box.due_at(DELAY) == 2.0
    assert not box.due(1.5, DELAY)
    assert box.ack() == (2, 2)
    assert box.due_at(DELAY) == 2.0
    assert box.due(2.0, DELAY)


def test_the_ack_of_what_is_withheld_is_due_when_it_is_a_quarter_of_the_window() -> None:
    box = metered(4.0, burst=0.25)
    for number in range(9):
        box.put(str(number), 1, 0.0)
        box.take(0.0)
    box.announced(*box.ack())
    assert box.ack() == (9, 1)
    assert box.due_at(60.0) == 1.0  # four messages, a quarter of a second each
    assert box.due_at(0.5) == 0.75
    assert not box.due(0.99, 60.0)
    assert box.due(1.0, 60.0)


def test_the_ack_of_what_is_withheld_is_due_when_it_is_a_quarter_of_the_bytes() -> None:
    box = metered(1.0)
    for size in (1, 250, 200, 10):
        box.put("message", size, 0.0)
        box.take(0.0)
    box.announced(*box.ack())
    assert box.due_at(60.0) == 2.0


def test_few_that_are_withheld_wait_for_the_delay() -> None:
    box = metered(1.0)
    for _ in range(3):
        box.put("message", 1, 0.0)
        box.take(0.0)
    box.announced(*box.ack())
    assert box.due_at(60.0) == 61.0


def test_when_more_counts_as_taken() -> None:
    box = metered(1.0)
    box.put("message", 1, 0.0)
    assert box.releases_at == NEVER
    for _ in range(3):
        box.put("message", 1, 0.0)
    for _ in range(4):
        box.take(0.0)
    assert box.releases_at > 0
    box.release(box.releases_at)
    assert box.taken > 0
    box.release(1000.0)
    assert box.releases_at == NEVER


def test_room() -> None:
    box = Inbox(Window(2, 100))
    assert box.has_room(1000)
    box.put("x", 60, 0.0)
    assert box.has_room(40)
    assert not box.has_room(41)
    box.put("x", 1, 0.0)
    assert not box.has_room(0)


# -- the field and the rule ------------------------------------------------------------------------------------------


def due_by_rule(box: Inbox, delay: float) -> float:
    """due_at() by the words of docs/protocol.md §6, reckoned from everything there is at each call."""
    unannounced = box._announced_received < 0
    received, taken = box.received - box._announced_received, box.taken - box._announced_taken
    quarter = max(1, box.window.messages // 4), max(1, box.window.size // 4)
    if unannounced or max(received, taken) >= quarter[0] or max(box._received_bytes, box._taken_bytes) >= quarter[1]:
        return NOW
    when = min((since for since in (box._received_since, box._taken_since) if since is not None), default=NEVER) + delay
    withheld = list(zip(box._within, box._sizes, strict=False))[: box._early]
    if withheld:
        when = min(when, withheld[0][0] + delay)
    size = box._taken_bytes
    for number, (at, item) in enumerate(withheld, taken + 1):
        size += item
        if at < when and (number >= quarter[0] or size >= quarter[1]):
            return at
    return when


@given(
    st.booleans(),
    st.lists(
        st.tuples(
            st.sampled_from(("put", "put", "count", "take", "take", "announce", "late", "lose", "release", "discard")),
            st.integers(0, 60),
            st.sampled_from((0.0, 0.0, 0.1, 0.5, 3.0)),
        ),
        max_size=60,
    ),
)
@hypothesis.settings(deadline=None)
def test_the_field_says_what_the_rule_says(limited: bool, steps: list[tuple[str, int, float]]) -> None:
    now = 0.0
    meter = Meter.of(Config(max_message_rate=2.0, rate_burst=0.5), now) if limited else None
    box = Inbox(Window(16, 400), meter)
    acks = [box.ack()]  # of which any may turn out to have arrived
    for what, size, passed in steps:
        now += passed
        match what:
            case "put" if box.has_room(size):
                box.put("x" * size, size, now)
            case "count":
                box.count(size, now)
            case "take" if len(box):
                box.take(now)
            case "announce":
                box.announced(*box.ack())
            case "late":
                box.announced(*acks[size % len(acks)])
            case "lose":
                box.unannounced()
            case "release":
                box.release(now)
            case "discard":
                box.discard(now)
        acks.append(box.ack())
        for delay in (0.25, 1.0, 12.5):
            assert box.due_at(delay) == due_by_rule(box, delay)
            assert box.due(now, delay) == (now >= due_by_rule(box, delay))


def test_what_is_no_new_message_costs_where_a_rate_is_set() -> None:
    Inbox(WINDOW).other(0.0)  # without one there is nothing to count
    box = metered()
    with pytest.raises(RemoteProtocolError) as caught:
        for _ in range(1000):
            box.other(0.0)
    assert caught.value.close_code == 1008


def test_an_ack_of_a_few_leaves_a_quarter_due_at_once() -> None:
    box = inbox(*[0] * 5)
    box.announced(1, 0)
    assert box.due_at(DELAY) == NOW
    box.announced(2, 0)
    assert box.due_at(DELAY) == DELAY


@pytest.mark.parametrize("meter", [None, Meter(dataclasses.replace(Config(), max_message_rate=1), 0.0)])
def test_an_inbox_that_rests_takes_no_room_and_goes_on(meter: Meter | None) -> None:
    inbox = Inbox(Window(8, 100), meter)
    for number in range(2):
        inbox.put("x", 1, 100.0 * number)
        inbox.rest()
        assert inbox.items is not EMPTY  # there is something in it
        assert inbox.take(100.0 * number) == "x"
        inbox.rest()
        assert [queue is EMPTY for queue in (inbox.items, inbox._sizes, inbox._within)] == [True] * 3
    assert inbox.ack() == (2, 2)
    with pytest.raises(IndexError):
        inbox.take(999.0)
    assert not EMPTY


# -- groups ----------------------------------------------------------------------------------------------------------


def parts(text: str) -> int:
    """How many belong to a text, in these tests: "5 and its first five" has five."""
    return int(text[0]) if text[:1].isdigit() else 0


def grouped(*items: str | bytes, meter: Meter | None = None) -> Inbox:
    """An inbox of such messages that has received these: 8 belong together at most, and 2,000 bytes."""
    box = Inbox(WINDOW, meter)
    box.group(parts, "0123456789", 8, 2000)
    for item in items:
        box.put(item, len(item), 0.0)
    return box


def test_a_group_counts_as_taken_behind_its_last_message() -> None:
    box = grouped("alone", "2 parts", b"one", b"two", "1 part", b"one")
    taken = []
    while len(box):
        box.take(0.0)
        taken.append(box.ack()[1])
    assert taken == [1, 1, 1, 4, 4, 6]
    assert box.size == 0


def test_a_reader_that_stops_within_a_group_has_taken_nothing_of_it() -> None:
    box = grouped("2 parts", b"one")
    box.take(0.0)
    box.take(0.0)
    assert (box.ack(), box.size, box.has_room(0), box.due_at(DELAY)) == ((2, 0), 10, True, DELAY)
    box.announced(2, 0)
    assert (box.news, box.releases_at) == (False, NEVER)
    box.put(b"two", 3, 1.0)
    box.take(2.0)
    assert (box.ack(), box.size, box.due_at(DELAY)) == ((3, 3), 0, 2.0)


def test_notes_are_no_part_of_a_group() -> None:
    box = grouped()
    items = ("1 part", Dropped(2), RoomPosition("room", "1.1.x", None), RoomMessage(b"one", "room", "1.2.x"))
    for item in (*items, RoomMessage("text", "room", "1.3.x")):
        box.put(item, 4, 0.0)
    taken = []
    while len(box):
        box.take(0.0)
        taken.append(box.taken)
    assert taken == [0, 0, 0, 4, 5]


def test_what_belongs_to_a_message_may_come_beyond_the_window() -> None:
    box = grouped("3 parts", b"x" * 1593)
    assert (box.has_room(100), box.has_room(401)) == (True, False)
    box.put(b"x" * 100, 100, 0.0)
    with pytest.raises(RemoteProtocolError, match="window") as caught:
        box.put(b"x" * 301, 301, 0.0)
    assert caught.value.close_code == 1002
    box.put(b"x" * 300, 300, 0.0)
    with pytest.raises(RemoteProtocolError, match="window"):
        box.put("behind", 0, 0.0)
    while len(box):
        box.take(0.0)
    assert (box.taken, box.size) == (4, 0)


def test_more_than_may_belong_to_a_message_has_to_stay_within_the_window() -> None:
    box = grouped("9 parts", *[b""] * 15)
    with pytest.raises(RemoteProtocolError, match="window"):
        box.put(b"", 0, 0.0)
    box.take(0.0)
    assert box.taken == 1


def test_what_came_before_anybody_knew_of_groups() -> None:
    box = Inbox(Window(3, 100))
    for item in ("alone", "2 parts", b"one"):
        box.put(item, 1, 0.0)
    box.take(0.0)
    box.group(parts, "0123456789", 8, 2000)
    box.take(0.0)
    box.put(b"two", 200, 0.0)
    assert box.taken == 1
    box.take(0.0)
    box.take(0.0)
    assert box.taken == 4


def test_what_is_discarded_is_taken_and_a_new_group_begins() -> None:
    box = grouped("2 parts", b"one")
    box.take(0.0)
    box.discard(0.0)
    assert (box.ack(), box.size) == ((2, 2), 0)
    box.put("alone", 5, 0.0)
    box.take(0.0)
    assert box.ack() == (3, 3)


def test_a_group_above_the_rate_counts_when_it_is_whole_and_within_the_rate() -> None:
    meter = Meter.of(Config(max_message_rate=1.0, rate_burst=2.0), 0.0)
    box = grouped("1 part", b"one", "2 parts", b"one", meter=meter)
    for _ in range(4):
        box.take(0.0)
    assert box.ack() == (4, 2)
    box.release(10.0)
    assert (box.ack(), box.releases_at) == ((4, 2), NEVER)
    box.put(b"two", 3, 10.0)
    box.take(10.0)
    assert box.ack() == (5, 5)
    for item in ("2 parts", b"one", b"two"):
        box.put(item, 3, 10.0)
        box.take(10.0)
    assert (box.taken, box.releases_at) == (6, 11.0)
    box.announced(*box.ack())
    assert (box.due_at(DELAY), box.due_at(10.0)) == (12.0, 21.0)
    box.release(12.0)
    assert box.ack() == (8, 8)


@given(
    st.lists(st.lists(st.integers(0, 60), max_size=12), min_size=1, max_size=12),
    st.integers(1, 10),
    st.integers(1, 120),
    st.lists(st.integers(1, 4), min_size=1),
)
@hypothesis.settings(deadline=None)
def test_groups_of_any_size_pass_any_window(sizes: list[list[int]], count: int, size: int, batches: list[int]) -> None:
    """What is sent arrives, however small the window, and nobody has taken half of a group."""
    window = Window(count, size)
    outbox, inbox = Outbox(window, 10_000, 1_000_000), Inbox(window)
    inbox.group(int, "0123456789", 12, 12 * 60 + 2)
    ends, total = {0}, 0
    for group in sizes:
        append_group(outbox, Outgoing.group(str(len(group)), *(b"x" * size for size in group)))
        total += 1 + len(group)
        ends.add(total)
    turn = 0
    while inbox.taken < total:
        _, items = outbox.peek(outbox.last + 1, batches[turn % len(batches)], 10_000)
        for item in items:
            inbox.put(item.data, item.size, 0.0)
        taken = inbox.taken
        while len(inbox):
            inbox.take(0.0)
            assert inbox.taken in ends
        assert items or inbox.taken > taken, "the sender waits for its receiver, and that for its sender"
        outbox.acknowledge(*inbox.ack())
        turn += 1
    assert (inbox.size, outbox.unacknowledged()) == (0, [])
