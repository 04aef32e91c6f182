"""A schedule: what happens to all of them, and what has to hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from realtime.core.durable.record import Close, Publish, Record, Stage
from realtime.core.rooms import Position

from .client import Client
from .frames import Carrier, Down, Request
from .shipping import ShippingClient
from .store import Store
from .worker import Worker
from .world import Violation, World

__all__ = ["ANY", "Conditions", "Schedule", "Shipping", "broken"]

FAULTS = (
    "crash",
    "crash",
    "pause",
    "cut",
    "cut",
    "hold",
    "lapse",
    "store pause",
    "back",
    "rooms back",
    "leave",
)


class Conditions(NamedTuple):
    """What a schedule is drawn from, where one looks for something."""

    faults: tuple[str, ...] = ()  # none: all, as they are drawn
    switches: float = 0.04
    slow_turns: bool = False
    repeats: float = 0.15
    refusals: float = 0.2
    rate: float = 0.0
    messages: int = 0
    drops: bool = False
    losses: float = 0.0


ANY = Conditions()


class Schedule:
    """One, by its seed."""

    client_of: Callable[[Schedule], Client] = Client

    def __init__(self, seed: int, trace: list[str] | None = None, conditions: Conditions = ANY) -> None:
        world = self.world = World(seed, trace)
        draw = world.random
        self.length = draw.choice((4, 8, 14))
        self.rate = draw.choice((0.4, 0.9, 2.0))
        self.messages = draw.choice((2, 4, 7))
        self.closer = draw.choice(("client", "client", "server"))
        self.slow = draw.random() < 0.3
        world.base = draw.choice((0.01, 0.05, 0.15))
        self.slow_turns = draw.random() < 0.15
        self.early = 0.05 if draw.random() < 0.7 else 0.3
        self.drops = draw.random() < 0.3
        self.poison = draw.randint(1, self.messages) if draw.random() < 0.08 else 0
        self.repeats = 0.15 if draw.random() < 0.6 else 0.0
        self.refusals = 0.2 if draw.random() < 0.3 else 0.0
        self.beside = seed % 8 == 7  # other tasks than the handler's join rooms and leave them
        self.switches = conditions.switches
        chances = {"pause": 0.7, "lapse": 0.4, "store pause": 0.4, "back": 0.25, "rooms back": 0.25, "leave": 0.5}
        self.faults = tuple(fault for fault in FAULTS if draw.random() < chances.get(fault, 1.0))
        losses = conditions.losses or (0.06 if draw.random() < 0.5 else 0.0)
        if conditions != ANY:
            self.faults = conditions.faults or self.faults
            self.slow_turns = conditions.slow_turns
            self.repeats, self.refusals = conditions.repeats, conditions.refusals
            self.rate = conditions.rate or self.rate
            self.messages = conditions.messages or self.messages
            self.drops = conditions.drops
            self.length = max(self.length, 8)
            self.poison = 0
        kept = draw.choice((1000, 1000, 4))
        self.store = Store(world, {"r1": kept, "r2": 1000}, losses)
        self.counts: dict[str, int] = {}
        self.fails: dict[int, int] = {}
        self.starts: dict[int, int] = {}
        self.created: list[tuple[str, str]] = []
        self.heard: dict[str, list[str]] = {"r1": [], "r2": []}
        self.incarnations: dict[str, Worker] = {}
        self._names = 0
        self._starts = 0
        self.workers = [self._start(slot) for slot in range(3)]
        self.client = type(self).client_of(self)
        self.store.listeners.append(self._pushes)

    # -- what all of them use ----------------------------------------------------------------------------------------

    def name(self, kind: str) -> str:
        """One that was never used before."""
        self._names += 1
        return f"{kind}{self._names}"

    def count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    def allows(self, fault: str) -> bool:
        return fault in self.faults

    def delay(self) -> float:
        draw = self.world.random
        return draw.random() * self.world.base + (draw.random() * 3 if self.world.chance(0.08) else 0)

    def arrive(self, request: Request) -> None:
        """A balancer gives a request to some worker."""
        now = self.world.now
        able = [worker for worker in self.workers if worker.paused <= now and not worker.leaving]
        able = able or [worker for worker in self.workers if not worker.leaving] or self.workers
        owners = [worker for worker in able if worker.holdings]
        draw = self.world.random
        chosen = draw.choice(able)
        if owners and draw.random() < 0.3:
            chosen = draw.choice(owners)
        chosen.take(request)

    def bring_down(self, carrier: Carrier, frames: list[Down]) -> None:
        world = self.world
        when = carrier.last_down = max(world.now + self.delay(), carrier.last_down + 1e-6)
        world.at(when, lambda: self.client.frames(carrier, frames))

    def publish(self, publish: Publish) -> None:
        assert isinstance(publish.data, str)
        self.store.publish(publish.room, publish.id, publish.data)

    def _pushes(self) -> None:
        for worker in self.workers:
            for holding in worker.holdings.values():
                worker.after(self.delay(), holding.passed)

    def begins(self, turn: int) -> None:
        self.starts[turn] = self.starts.get(turn, 0) + 1
        if self.starts[turn] > 14:
            raise Violation(f"poison: turn {turn} began {self.starts[turn]} times")

    def hears(self, room: str, payload: str) -> None:
        self.heard[room].append(payload)

    def quiet(self) -> bool:
        """Whether the client has all there is."""
        client, record = self.client, self.store.records.get(self.client.sid)
        if record is None or record.stage is not Stage.LIVE:
            return True  # it will be told
        return (
            client.received >= record.sent
            and record.taken == client.sent
            and not record.publishes
            and all(
                room in client.heard and Position.parse(client.heard[room])[:2] >= self.store.rooms[room].end[:2]
                for room, _ in record.rooms
            )
        )

    # -- faults ------------------------------------------------------------------------------------------------------

    def _start(self, slot: int) -> Worker:
        self._starts += 1
        name = f"w{slot}.{self._starts}"
        worker = self.incarnations[name] = Worker(self, slot, name)
        return worker

    def replace(self, worker: Worker, why: str) -> None:
        """A process is gone, and another one takes its place."""
        world, draw = self.world, self.world.random
        world.say(worker.incarnation, "is gone:", why)
        worker.alive = False
        holdings = list(worker.holdings.values())
        for holding in holdings:
            holding.failed()
            holding.running = False
        self.workers[worker.slot] = self._start(worker.slot)
        for carrier in self.client.carriers:
            if carrier.entry is worker or (carrier.holding is not None and carrier.holding.worker is worker):
                carrier.up = False
                if draw.random() < 0.5:
                    carrier.down = False
                left = max(0.0, carrier.last_down - world.now) if carrier.down else 0.0
                world.after(self.delay() + 0.05 + left, lambda carrier=carrier: self.client.lost(carrier))  # type: ignore[misc]

    def crash(self, worker: Worker, why: str) -> None:
        if not worker.alive:
            return
        self.count("crashes")
        for holding in worker.holdings.values():
            if holding.carrier is not None and holding.carrier.cursor > holding.owner.acked:
                self.count("between wire and ack")
        self.replace(worker, why)

    def _fault(self) -> None:
        world, draw, store = self.world, self.world.random, self.store
        if not world.adverse or not self.faults or self.over():
            return
        fault = draw.choice(self.faults)
        owners = [worker for worker in self.workers if worker.holdings]
        worker = owners[0] if owners and draw.random() < 0.7 else draw.choice(self.workers)
        carrier = self.client.newest
        if fault == "crash":
            self.crash(worker, "killed")
        elif fault == "pause":
            worker.paused = max(worker.paused, world.now + draw.choice((1, 4, 9)) * (0.5 + draw.random()))
            world.say(worker.incarnation, "is paused until", worker.paused)
            self.count("pauses")
        elif fault == "lapse":
            peer, _ = store.peers.get(worker.incarnation, (worker.peer, 0.0))
            store.peers[worker.incarnation] = peer, 0.0
            world.say(worker.incarnation, "has no lease")
        elif fault == "store pause":
            store.paused = world.now + draw.random() * 6
            world.say("store: paused until", store.paused)
        elif fault == "back" and store.backs < 2:
            store.go_back(draw.choice((1, 1, 2, 3, 5)), draw.random() < 0.5)
            self.count("store went back")
        elif fault == "rooms back":
            store.rooms_go_back(draw.choice((1, 1, 2, 3)))
            self.count("rooms went back")
        elif fault == "leave" and owners and not worker.leaving:
            worker.run(worker.leave())
            self.count("deploys")
        elif fault == "cut" and carrier is not None:
            self._cut(carrier)
        elif fault == "hold" and carrier is not None:
            carrier.last_down = max(carrier.last_down, world.now + draw.random() * 5)
            world.say("carrier", carrier.gen, "is held until", carrier.last_down)
        world.after(draw.random() * 2 / self.rate, self._fault)

    def _cut(self, carrier: Carrier) -> None:
        world, draw = self.world, self.world.random
        world.say("carrier", carrier.gen, "is cut")
        way = draw.random()
        if way < 0.7:
            carrier.up = False
        if way > 0.3:
            carrier.down = False
        if draw.random() < 0.7:
            world.after(draw.random() * 2, lambda: self.client.lost(carrier))
        holding = carrier.holding
        if holding is not None and draw.random() < 0.6:
            holding.worker.after(draw.random() * 2, lambda: holding.detach(carrier))

    # -- the play ----------------------------------------------------------------------------------------------------

    def play(self) -> dict[str, int]:
        """Plays it to the end; how much has happened. Raises Violation."""
        world, draw = self.world, self.world.random
        world.after(0, self.client.tick)
        world.after(draw.random() * 2, self._fault)
        for index in range(draw.choice((0, 3, 7))):
            room = draw.choice(("r1", "r2"))
            when = draw.random() * self.length
            world.at(when, lambda room=room, id=f"o{index}": self.store.publish(room, id, id))  # type: ignore[misc]
        world.run(self.length)
        world.adverse = False
        for end in range(self.length + 5, self.length + 95, 5):
            world.run(end)
            if self.over():
                break
        self.check()
        code = self.client.ended
        return {"schedules": 1, f"ended {code}": 1, **self.counts}

    def record(self) -> Record | None:
        """The session's; also if its client was told of its end before it was told of its sid."""
        sid = self.client.sid or self.store.claims.get(self.client.nonce, "")
        return self.store.records.get(sid)

    def over(self) -> bool:
        record = self.record()
        if self.client.ended is None:
            return False
        return record is None or (record.stage is Stage.ENDED and not record.publishes)

    # -- what has to hold --------------------------------------------------------------------------------------------

    def check_silent(self) -> None:
        """A client was told that its session ended cleanly: what it has is what was committed."""
        client, store = self.client, self.store
        truths = [store.committed(client.sid)]
        for worker in self.workers:
            if client.sid in worker.holdings:
                truths.append(store.histories[worker.holdings[client.sid].owner.record.id])
        # Where the store went back and its client has not attached since, nobody could know.
        truths += [store.histories[one.id] for one in store.lost if one.tenure.id == client.follower.tenure]
        got = tuple(client.got)
        if not any(self._agree(truth, got) for truth in truths):
            raise Violation(f"silent: closed cleanly, the client has {got}, committed is {truths[0]}")

    def _agree(self, truth: tuple[Any, ...], got: tuple[Any, ...]) -> bool:
        whole = self.closer == "server" and not self.client.closing
        return truth[: len(got)] == got and (not whole or len(truth) == len(got))

    def check(self) -> None:
        for worker in self.workers:
            for holding in worker.holdings.values():
                holding.failed()
        client, store = self.client, self.store
        record, code, backs = self.record(), client.ended, store.backs
        if code is None:
            held = {worker.incarnation: list(worker.holdings) for worker in self.workers}
            raise Violation(f"deadlock: the client has {client.received}, acked {client.acked}, {record}, {held}")
        if record is None:
            if not backs:
                raise Violation(f"ended {code}, and there is no record")
            return
        if record.stage is not Stage.ENDED:
            raise Violation(f"the client ended {code}, the store never: {record}")
        store.check_unique(client.sid)
        if len(set(self.created)) > 1 and not backs:
            raise Violation(f"two sessions by one nonce: {self.created}")
        self._check_code(code, record.end or Close(0), json.loads(record.data))
        for publish in store.publishes[record.id]:
            there = store.payloads[publish.room].count(str(publish.data))
            if there != 1 and not store.rooms[publish.room].backs:
                raise Violation(f"committed {publish} is in its room {there} times")
        committed = {one.id for known in store.publishes.values() for one in known}
        for room, published in store.published.items():
            if any(one[0] == "i" and one not in committed for one in published):
                raise Violation(f"a publish of what was never committed is in {room}")
        for room, heard in self.heard.items():
            if len(set(heard)) != len(heard) and not store.rooms[room].backs:
                raise Violation(f"a message of {room} came twice: {heard}")

    def _check_code(self, code: int, end: Close, data: Any) -> None:
        backs, count = self.store.backs, 0 if data is None else data["count"]
        if code in (4414, 4404, 1002) and not backs:
            raise Violation(f"{code} though the store never went back")
        if code in (4408, 4410, 4411):
            raise Violation(f"ended {code}")
        failed = max(self.fails.values(), default=0)
        # (A store that goes back may lose the write that clears a count, and with it the turn's success.)
        if code == 1011 and failed < 3 and not (backs and sum(self.fails.values()) + backs >= 3):
            raise Violation(f"1011 though no turn failed three times: {self.fails}")
        if code != 1000:
            return
        if self.client.closing and count != self.client.sent and not backs and end.code != 1011:
            raise Violation(f"closed cleanly, and the handler has taken {count} of {self.client.sent}")
        if not self.client.closing and not backs and end.code not in (1000, 4412):
            raise Violation(f"the handler returned, the client knows, the store says {end}")
        if self.poison and not backs and end.code == 1000 and self.starts.get(self.poison):
            raise Violation("a poisoned turn has passed")


class Shipping(Schedule):
    """A schedule whose client is the one that ships."""

    client_of = ShippingClient


def broken(seeds: range, conditions: Conditions = ANY, of: type[Schedule] = Schedule) -> str | None:
    """The first of these schedules that breaks a promise, in words."""
    for seed in seeds:
        try:
            of(seed, conditions=conditions).play()
        except Violation as violation:
            return f"seed {seed}: {violation}"
    return None
