"""The stores: of sessions, with leases and notices, and of rooms. What their scripts do, and how they fail."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from realtime.core.durable.owner import Write
from realtime.core.durable.record import Close, Item, Publish, Record, Stage
from realtime.core.durable.takeover import Notice
from realtime.core.frames import Dropped
from realtime.core.leases import Known, Peer
from realtime.core.rooms import Entry, Position, Reading

from .world import Future, Host, Violation, World

__all__ = ["LEASE", "Room", "Store"]

LEASE = 5.0


class Sight(NamedTuple):
    """What the store says of a session: its record, and who has it."""

    record: Record | None
    owner: Known
    idle: float


@dataclass
class Room:
    """What the store keeps of a room."""

    epoch: int = 1
    base: int = 0
    base_id: str = ""
    kept: int = 1000
    entries: list[tuple[int, str, str, bytes]] = field(default_factory=list)
    top: int = 0
    id: str = ""
    backs: int = 0  # how often it has gone back: for the checks
    raised: int = 0

    def read(self, after: Position) -> Reading:
        start = after.offset if after.epoch == self.epoch else self.base
        known = {offset: id for offset, id, *_ in self.entries} | {self.base: self.base_id, self.top: self.id}
        if self.entries:
            known[self.entries[0][0] - 1] = self.entries[0][2]
        entries = [Entry(self.epoch, *one) for one in self.entries if one[0] > start]
        ids = {after.offset: known[after.offset]} if after.offset in known else {}
        return Reading(self.epoch, self.top, self.id, self.base, self.base_id, entries, ids)

    @property
    def end(self) -> Position:
        return Position(self.epoch, self.top, self.id)


class Store:
    """Both stores; each goes back for itself."""

    def __init__(self, world: World, rooms: dict[str, int], losses: float) -> None:
        self.world = world
        self.losses = losses
        self.run = 1
        self.paused = 0.0
        self.backs = 0
        self.records: dict[str, Record] = {}
        self.touched: dict[str, float] = {}
        self.claims: dict[str, str] = {}
        self.peers: dict[str, tuple[Peer, float]] = {}
        self.notices: dict[str, list[Notice]] = {}
        self.rooms = {name: Room(kept=kept) for name, kept in rooms.items()}
        self.published: dict[str, list[str]] = {name: [] for name in rooms}  # for the checks
        self.payloads: dict[str, list[str]] = {name: [] for name in rooms}
        self.listeners: list[Callable[[], object]] = []
        self._undo: deque[Callable[[], object]] = deque(maxlen=8)
        self._undo_rooms: deque[Callable[[], object]] = deque(maxlen=8)
        # For the checks: all that was ever stored, and by which writes.
        self.histories: dict[str, tuple[Item, ...]] = {"": ()}
        self.written: dict[str, Record] = {}
        self.ever: set[Item] = set()
        self.joins: set[tuple[str, Position]] = set()
        self.publishes: dict[str, tuple[Publish, ...]] = {"": ()}
        self.lost: list[Record] = []  # what was taken back

    # commands

    def ask(self, host: Host, command: Callable[[], Any]) -> Future:
        """The answer, None if it stays unknown."""
        world, answer = self.world, Future()
        lost = world.chance(self.losses)
        never = lost and world.random.random() < 0.5

        def arrive() -> None:
            if self.paused > world.now:
                world.at(self.paused + world.delay(), arrive)
                return
            told = None if never else command(), self.run
            host.after(0.5 if lost else world.delay(), lambda: answer.set(None if lost else told))

        world.after(world.delay(), arrive)
        return answer

    # scripts

    def see(self, sid: str) -> Sight:
        record = self.records.get(sid)
        idle = self.world.now - self.touched.get(sid, 0.0)
        return Sight(record, Known() if record is None else self.find(record.owner), idle)

    def find(self, incarnation: str) -> Known:
        peer, until = self.peers.get(incarnation, (None, 0.0))
        return Known(peer, max(0.0, until - self.world.now))

    def put(self, sid: str, write: Write, notice: Notice | None = None, to: str = "") -> str:
        """Compares ids, and sets; the id that is there then."""
        before = self.records.get(sid)
        if ("" if before is None else before.id) != write.expected:
            return "" if before is None else before.id
        self._set(sid, write.record)
        if notice is not None:
            self.notices.setdefault(to, []).append(notice)
        return write.record.id

    def _set(self, sid: str, record: Record) -> None:
        before = self.records.get(sid)

        def undo() -> None:
            self.lost.append(self.records[sid])
            if before is None:
                del self.records[sid]
            else:
                self.records[sid] = before

        self._undo.append(undo)
        self.records[sid] = record
        self.touched[sid] = self.world.now
        self._note(record)
        self.world.say("store:", record.id, "by", record.owner, record.stage.value, *record.now()[1:], record.data)

    def _note(self, record: Record) -> None:
        self.written[record.id] = record
        parent = record.before[-1] if record.before else ""
        first = record.sent - len(record.outbox)
        known = self.histories[parent]
        if record.stage is Stage.ENDED:
            self.histories[record.id] = known
        else:
            self.histories[record.id] = (*known[:first], *record.outbox)
            self.ever.update(record.outbox)
        self.joins.update(record.rooms)
        old = self.publishes[parent]
        self.publishes[record.id] = (*old, *(one for one in record.publishes if one not in old))

    def claim(self, nonce: str, sid: str) -> str:
        if nonce not in self.claims:
            self._undo.append(lambda: self.claims.pop(nonce))
            self.claims[nonce] = sid
        return self.claims[nonce]

    def enlist(self, peer: Peer) -> list[Notice]:
        self.peers[peer.incarnation] = peer, self.world.now + LEASE
        return list(self.notices.get(peer.incarnation, ()))

    def noticed(self, incarnation: str, notices: list[Notice]) -> bool:
        """These are done with. (They stay until then: the answer that told them may have been lost.)"""
        self.notices[incarnation] = [one for one in self.notices.get(incarnation, ()) if one not in notices]
        return True

    def strike(self, incarnation: str) -> None:
        self.peers.pop(incarnation, None)

    # rooms

    def publish(self, room: str, id: str, payload: str) -> None:
        kept = self.rooms[room]
        if id in self.published[room]:
            return
        self.published[room].append(id)
        self.payloads[room].append(payload)
        before = (kept.top, kept.id, list(kept.entries))

        def undo() -> None:
            kept.top, kept.id, kept.entries = before
            kept.backs += 1
            self.published[room].remove(id)
            self.payloads[room].remove(payload)

        self._undo_rooms.append(undo)
        kept.top += 1
        kept.entries.append((kept.top, id, kept.id, payload.encode()))
        kept.id = id
        del kept.entries[: -kept.kept]
        self.world.say("room:", room, f"{kept.epoch}.{kept.top}", id)
        self._tell()

    def raise_epoch(self, room: str, seen: int, above: int) -> None:
        kept = self.rooms[room]
        if kept.epoch == seen:
            before = (kept.epoch, kept.base, kept.base_id)

            def undo() -> None:
                kept.epoch, kept.base, kept.base_id = before
                kept.backs += 1

            self._undo_rooms.append(undo)
            kept.raised += 1
            kept.epoch = max(above, seen, int(self.world.now * 10)) + 1
            kept.base, kept.base_id = kept.top, kept.id
            self.world.say("room:", room, "is raised to", kept.epoch)

    def _tell(self) -> None:
        for listener in self.listeners:
            listener()

    # faults

    def go_back(self, writes: int, forgets: bool) -> None:
        self.backs += 1
        self.run += 1
        for _ in range(writes):
            if self._undo:
                self._undo.pop()()
        if forgets:
            self.notices.clear()
        self.world.say("store: GOES BACK by", writes, "to", {sid: one.id for sid, one in self.records.items()})

    def rooms_go_back(self, writes: int) -> None:
        for _ in range(writes):
            if self._undo_rooms:
                self._undo_rooms.pop()()
        self.world.say("rooms: GO BACK by", writes, {name: room.end for name, room in self.rooms.items()})
        self._tell()

    def committed(self, sid: str) -> tuple[Item, ...]:
        record = self.records.get(sid)
        return () if record is None else self.histories[record.id]

    def check_unique(self, sid: str) -> None:
        said = [item for item in self.committed(sid) if not isinstance(item, (Dropped, Close))]
        if len(set(said)) != len(said):
            raise Violation(f"a send was committed twice: {said}")
