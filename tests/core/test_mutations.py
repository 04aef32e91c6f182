"""Does the simulation see? Each rule of the protocol is taken away in turn, and some history must break a promise.

A mutation that survives means that the simulated world never needed that rule, and so proves nothing about it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

import realtime
from realtime.core import client_uplink, numbered_machine, numbering, outbox
from realtime.core.carrier import NumberedCarrier, Part, Shape
from realtime.core.client_machine import ClientMachine, Uplink
from realtime.core.errors import RemoteProtocolError
from realtime.core.frames import CLOSE, Outgoing, RoomItem
from realtime.core.inbox import AT_ONCE, Inbox
from realtime.core.lifecycle import State
from realtime.core.machine import FOREVER, SessionMachine
from realtime.core.numbered_machine import NumberedMachine
from realtime.core.numbering import Numbering
from realtime.core.outbox import Outbox
from realtime.core.positions import Positions
from realtime.core.registry import Registry

from . import test_interleavings as scenes
from .simulation import Change, brim, bulk, hurry, leave, play, speak_in_rooms, upgrade

SEEDS = 600
# Of what shows late, the history in which it did when this was written: where to look first.
SHOWN_BY = {
    "no_tombstones": 170,
    "no_renumbering": 102,
    "the_latest_ack_wins": 93,
    "the_servers_cursor_is_read_from_the_session": 67,
    "what_was_taken_is_not_told_by_time": 32,
    "a_close_keeps_its_code_when_nobody_acked": 28,
    "silence_is_not_noticed": 23,
    "the_end_of_any_carrier_detaches": 16,
    "an_ack_in_the_answer_to_a_send_counts": 13,
}

Patch: TypeAlias = pytest.MonkeyPatch
Mutation: TypeAlias = Callable[[Patch], None]
# With the conditions under which it shows soonest, where those of all histories are too mixed.
MUTATIONS: list[tuple[Mutation, Change | None]] = []


def mutation(mutate: Mutation) -> Mutation:
    MUTATIONS.append((mutate, None))
    return mutate


def mutation_under(change: Change) -> Callable[[Mutation], Mutation]:
    def register(mutate: Mutation) -> Mutation:
        MUTATIONS.append((mutate, change))
        return mutate

    return register


def after_writing(patch: Patch, then: Callable[[Numbering, NumberedCarrier, float], None]) -> None:
    """Does something whenever items were written on a carrier: a duplex one, a stream, or with a poll's answer."""
    flush, answer = Numbering.flush_ordered, NumberedMachine._answer

    def flushed(self: Numbering, carrier: NumberedCarrier, now: float) -> None:
        before = carrier.send_cursor
        flush(self, carrier, now)
        if carrier.send_cursor > before and self.outcome is None:
            then(self, carrier, now)

    def answered(self: NumberedMachine, carrier: NumberedCarrier, now: float) -> None:
        before = carrier.send_cursor
        answer(self, carrier, now)
        if carrier.send_cursor > before and self.outcome is None:
            then(self, carrier, now)

    patch.setattr(Numbering, "flush_ordered", flushed)
    patch.setattr(NumberedMachine, "_answer", answered)


# -- numbering and replay ----------------------------------------------------------------------------------------------


@mutation
def duplicates_are_delivered(patch: Patch) -> None:
    def is_next(self: Numbering, carrier: NumberedCarrier, now: float) -> bool:
        if carrier.ignores or self.outcome is not None:
            return False
        carrier.receive_cursor += 1
        return True

    patch.setattr(Numbering, "_is_next", is_next)


@mutation
def no_renumbering(patch: Patch) -> None:
    def numbered(self: Numbering, carrier: NumberedCarrier, first: int, items: list[Outgoing]) -> list[Part]:
        return [carrier.codec.item(item) for item in items]

    patch.setattr(Numbering, "numbered", numbered)


@mutation
def the_clients_cursor_is_read_from_the_session(patch: Patch) -> None:
    original = ClientMachine.attach_answered

    def attach_answered(self: ClientMachine, carrier: NumberedCarrier, received: int, taken: int, now: float) -> None:
        carrier.receive_cursor = self.inbox.received + 1
        original(self, carrier, received, taken, now)

    patch.setattr(ClientMachine, "attach_answered", attach_answered)


@mutation_under(hurry)
def the_servers_cursor_is_read_from_the_session(patch: Patch) -> None:
    original = NumberedMachine.attach

    def attach(self: NumberedMachine, carrier: NumberedCarrier, *facts: Any, **how: bool) -> bool:
        newest = original(self, carrier, *facts, **how)
        if not carrier.finished:
            carrier.send_cursor = self.outbox.acked + 1
        return newest

    patch.setattr(NumberedMachine, "attach", attach)


@mutation
def the_uplink_cursor_is_read_from_the_session(patch: Patch) -> None:
    original = NumberedMachine.uplink

    def uplink(
        self: NumberedMachine, carrier: NumberedCarrier, received: int, taken: int, first: int, now: float, **how: bool
    ) -> bool:
        return original(self, carrier, received, taken, self.inbox.received + 1, now, **how)

    patch.setattr(NumberedMachine, "uplink", uplink)


@mutation
def written_counts_as_acked(patch: Patch) -> None:
    def acknowledge(self: Numbering, carrier: NumberedCarrier, now: float) -> None:
        self.outbox.acknowledge(carrier.send_cursor - 1, self.outbox.taken)

    after_writing(patch, acknowledge)


@mutation
def nothing_is_replayed(patch: Patch) -> None:
    original = Outbox.peek

    def peek(self: Outbox, cursor: int, max_items: int, max_bytes: int) -> tuple[int, list[Outgoing]]:
        return original(self, self.last + 1, max_items, max_bytes)

    patch.setattr(Outbox, "peek", peek)


# -- windows and acks --------------------------------------------------------------------------------------------------


@mutation
def received_counts_as_taken(patch: Patch) -> None:
    patch.setattr(Inbox, "ack", lambda self: (self.received, self.received))


@mutation
def the_window_is_ignored(patch: Patch) -> None:
    patch.setattr(Outbox, "_may", lambda self, item: True)


@mutation_under(bulk)
def no_message_above_the_window(patch: Patch) -> None:
    def may(self: Outbox, item: Outgoing) -> bool:
        return item.kind == CLOSE or (
            not self.held
            and self.last - self.taken < self.window.messages
            and self._in_flight + item.size <= self.window.size
        )

    patch.setattr(Outbox, "_may", may)


@mutation_under(brim)
def a_close_needs_window(patch: Patch) -> None:
    original = Outbox._may

    def may(self: Outbox, item: Outgoing) -> bool:
        return original(self, item) and self.last - self.taken < self.window.messages

    patch.setattr(Outbox, "_may", may)


@mutation_under(hurry)
def the_latest_ack_wins(patch: Patch) -> None:
    told: dict[int, tuple[Outbox, int]] = {}
    acknowledge = Outbox.acknowledge

    def latest(self: Outbox, received: int, taken: int) -> bool:
        told[id(self)] = self, taken
        return acknowledge(self, received, taken)

    def with_latest(look: Callable[..., Any]) -> Callable[..., Any]:
        def looks(self: Outbox, *where: int) -> Any:
            taken, self.taken = self.taken, told.get(id(self), (self, 0))[1]
            try:
                return look(self, *where)
            finally:
                self.taken = taken

        return looks

    patch.setattr(Outbox, "acknowledge", latest)
    for look in (Outbox.peek, Outbox.pending):
        patch.setattr(Outbox, look.__name__, with_latest(look))


def nobody_asks(patch: Patch) -> None:
    """For acks that it would have sooner than they are due."""
    for module in (numbering, numbered_machine, client_uplink):
        patch.setattr(module, "starved", lambda outbox: False)


@mutation_under(bulk)
def what_was_taken_is_not_told_by_time(patch: Patch) -> None:
    """To a peer that does not ask, as not all of them do."""
    original = Inbox.take
    nobody_asks(patch)

    def take(self: Inbox, now: float) -> object:
        since, owed_since = self._taken_since, self.owed_since
        item = original(self, now)
        self._taken_since = since
        if self.owed_since > AT_ONCE:
            self.owed_since = owed_since
        return item

    patch.setattr(Inbox, "take", take)


@mutation_under(upgrade)
def an_ack_in_the_answer_to_a_send_counts(patch: Patch) -> None:
    """To a peer that does not ask."""
    original = NumberedMachine.uplink_answer
    nobody_asks(patch)

    def uplink_answer(self: NumberedMachine, carrier: NumberedCarrier) -> Part:
        self.inbox.announced(*self.inbox.ack())
        return original(self, carrier)

    patch.setattr(NumberedMachine, "uplink_answer", uplink_answer)


def an_ack_in_a_lost_send_counts(patch: Patch) -> None:
    original = ClientMachine.uplink

    def uplink(self: ClientMachine, now: float, *, force: bool = False) -> Uplink | None:
        batch = original(self, now, force=force)
        if batch is not None:
            self.inbox.announced(batch.received, batch.taken)
        return batch

    patch.setattr(ClientMachine, "uplink", uplink)
    patch.setattr(Inbox, "unannounced", lambda self: None)


@mutation
def the_content_of_a_lost_send_is_not_due_again(patch: Patch) -> None:
    patch.setattr(ClientMachine, "uplink_lost", lambda self, batch: None)


# -- carriers ----------------------------------------------------------------------------------------------------------


@mutation
def generations_are_ignored(patch: Patch) -> None:
    original = NumberedMachine.attach

    def attach(self: NumberedMachine, carrier: NumberedCarrier, gen: int, *facts: Any, **how: bool) -> bool:
        return original(self, carrier, max(gen, self.gen), *facts, **how)

    patch.setattr(NumberedMachine, "attach", attach)


@mutation
def the_end_of_any_carrier_detaches(patch: Patch) -> None:
    original = ClientMachine.lost

    def lost(self: ClientMachine, carrier: NumberedCarrier, now: float) -> None:
        original(self, self.carrier or carrier, now)

    patch.setattr(ClientMachine, "lost", lost)


@mutation
def silence_is_not_noticed(patch: Patch) -> None:
    patch.setattr(numbered_machine, "_watch", lambda machine, carrier, now: None)
    patch.setattr(ClientMachine, "_ping_after", lambda self: None)


@mutation
def one_of_three_messages_is_not_written(patch: Patch) -> None:
    original = Outbox.peek
    count = [0]

    def peek(self: Outbox, cursor: int, max_items: int, max_bytes: int) -> tuple[int, list[Outgoing]]:
        first, items = original(self, cursor, max_items, max_bytes)
        count[0] += len(items)
        return first, items[1:] if count[0] % 3 == 2 else items

    patch.setattr(Outbox, "peek", peek)


# -- opening and ending ------------------------------------------------------------------------------------------------


@mutation
def every_open_is_a_new_session(patch: Patch) -> None:
    patch.setattr(Registry, "opened", lambda self, nonce, binding, now: None)


@mutation
def the_sid_is_only_used_by_naming_it(patch: Patch) -> None:
    original = ClientMachine.flush

    def flush(self: ClientMachine, now: float) -> None:
        self.confirm = False
        original(self, now)

    patch.setattr(ClientMachine, "flush", flush)
    never = property(lambda self: False, lambda self, value: None)
    patch.setattr(NumberedMachine, "used", never, raising=False)


@mutation_under(brim)
def no_tombstones(patch: Patch) -> None:
    def bury(self: Registry, machine: NumberedMachine, now: float) -> None:
        self.sessions.pop(machine.sid, None)
        self.nonces.pop(machine.nonce, None)

    patch.setattr(Registry, "bury", bury)


@mutation
def a_tombstone_does_not_say_what_was_received(patch: Patch) -> None:
    original = ClientMachine.refused

    def refused(
        self: ClientMachine, carrier: NumberedCarrier, code: int, received: int | None, reason: str, now: float
    ) -> None:
        original(self, carrier, code, None, reason, now)

    patch.setattr(ClientMachine, "refused", refused)


@mutation
def a_close_is_not_numbered(patch: Patch) -> None:
    def peer_closed(self: Numbering, carrier: NumberedCarrier, code: int, reason: str, now: float) -> None:
        self.end(code, reason, now, clean=True)

    patch.setattr(Numbering, "peer_closed", peer_closed)


@mutation
def a_close_is_believed_when_it_is_written(patch: Patch) -> None:
    def believe(self: Numbering, carrier: NumberedCarrier, now: float) -> None:
        if self.closing is not None and carrier.send_cursor > (self.outbox.close_number or carrier.send_cursor):
            self.end(*self.closing, now, clean=True)

    after_writing(patch, believe)


@mutation_under(brim)
def who_has_closed_keeps_its_inbox(patch: Patch) -> None:
    patch.setattr(Inbox, "discard", lambda self, now: None)


@mutation
def a_close_keeps_its_code_when_nobody_acked(patch: Patch) -> None:
    original = SessionMachine.end

    def end(self: SessionMachine, code: int, reason: str, now: float, *, clean: bool = False) -> None:
        if code in (4410, 4412) and self.closing is not None:
            original(self, *self.closing, now, clean=True)
        else:
            original(self, code, reason, now, clean=clean)

    patch.setattr(NumberedMachine, "end", end)


@mutation_under(upgrade)
def the_final_ack_is_forgotten(patch: Patch) -> None:
    original = SessionMachine.end

    def end(self: ClientMachine, code: int, reason: str, now: float, *, clean: bool = False) -> None:
        original(self, code, reason, now, clean=clean)
        self.final_ack = False

    patch.setattr(ClientMachine, "end", end)


@mutation
def drops_are_not_told(patch: Patch) -> None:
    def make_room(self: Outbox, size: int, messages: int = 1) -> bool:
        while not self.has_room(size, messages) and self.waiting:
            self._bytes -= self.waiting.popleft().size
            self.dropped += 1
        return self.has_room(size, messages)

    patch.setattr(Outbox, "make_room", make_room)


# -- rooms -------------------------------------------------------------------------------------------------------------


@mutation_under(speak_in_rooms)
def a_position_that_was_sent_is_moved(patch: Patch) -> None:
    original = Positions.note

    def note(self: Positions, box: Outbox, room: str, cursor: str, missing: int | None) -> bool:
        if room in self._latest:
            self._latest[room].encoded.clear()
        return original(self, box, room, cursor, missing)

    patch.setattr(Positions, "note", note)


@mutation_under(speak_in_rooms)
def a_position_is_moved_in_front_of_a_message(patch: Patch) -> None:
    patch.setattr(Positions, "passed", lambda self, room: self._waiting.pop(room, None))


@mutation_under(speak_in_rooms)
def a_gap_is_forgotten_where_there_is_no_room(patch: Patch) -> None:
    patch.setattr(Positions, "keep", lambda self, note: None)


@mutation_under(speak_in_rooms)
def a_gap_comes_behind_the_message_it_belongs_before(patch: Patch) -> None:
    patch.setattr(Positions, "passed", lambda self, room: self._latest.pop(room, None) and None)


@mutation_under(speak_in_rooms)
def positions_are_dropped_like_messages(patch: Patch) -> None:
    patch.setattr(outbox, "POSITION", "what nothing is")


@mutation_under(speak_in_rooms)
def a_position_takes_the_place_of_its_message(patch: Patch) -> None:
    """The frame is split in two, and the position goes first."""

    def offer_room(self: realtime.Session, item: RoomItem) -> None:
        self._offer_position(item.room, item.cursor)
        self._offer(item.plain)

    patch.setattr(realtime.Session, "_offer_room", offer_room)


# -- draining ----------------------------------------------------------------------------------------------------------


@mutation_under(leave)
def a_drain_is_not_told_again(patch: Patch) -> None:
    original = NumberedMachine.attach

    def attach(self: NumberedMachine, carrier: NumberedCarrier, *facts: Any, **how: bool) -> bool:
        if self.state is not State.DRAINING or carrier.codec.shape is Shape.POLL:
            return original(self, carrier, *facts, **how)
        self.state = State.OPEN
        newest = original(self, carrier, *facts, **how)
        self.state = State.DRAINING
        return newest

    patch.setattr(NumberedMachine, "attach", attach)
    patch.setattr(NumberedMachine, "_going_at", lambda self: FOREVER)


@pytest.mark.parametrize(("mutate", "change"), MUTATIONS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_mutation_is_found(mutate: Mutation, change: Change | None, monkeypatch: pytest.MonkeyPatch) -> None:
    mutate(monkeypatch)
    for seed in (SHOWN_BY.get(mutate.__name__, 0), *range(SEEDS)):
        try:
            play(seed, change)
        except (AssertionError, RemoteProtocolError, IndexError) as found:
            print(f"{mutate.__name__}: seed {seed}: {found}")  # noqa: T201
            return
    pytest.fail(f"{SEEDS} histories without {mutate.__name__}, and nothing was missed")


@pytest.mark.parametrize(
    ("mutate", "scene"),
    [
        # Only a matter of time: the next poll says it all again, and a sender waits longer than it has to.
        (an_ack_in_a_lost_send_counts, scenes.test_the_acks_of_a_lost_send_are_due_again),
        # Seldom in the histories.
        (an_ack_in_the_answer_to_a_send_counts, scenes.test_an_ack_in_a_lost_answer_is_told_on_the_websocket),
        (the_latest_ack_wins, scenes.test_a_late_ack_arrives_last),
        (the_servers_cursor_is_read_from_the_session, scenes.test_an_attach_that_arrives_after_newer_acks),
    ],
    ids=lambda value: value.__name__,
)
def test_a_mutation_is_found_by_its_scene(
    mutate: Mutation, scene: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    mutate(monkeypatch)
    with pytest.raises(AssertionError):
        scene()
