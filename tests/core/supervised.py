"""The client of the simulated world with the policy that ships: core/supervision.py says which carrier is started,
tried and stopped, and when. What it stands on is simulation.Client; what that chooses by chance is not used.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from realtime.core.carrier import NumberedCarrier
from realtime.core.choice import DUPLEX, HELD, POLL, STREAM, Rules
from realtime.core.client_machine import Attach
from realtime.core.lifecycle import State
from realtime.core.supervision import Supervision
from realtime.protocols.native import parse_refusal
from realtime.transports import Frame

from .simulation import ATTACH_TIMEOUT, BY_URL, FOREVER, STREAMS, Client, ClientSocket, Poll, Stream, World

__all__ = ["SupervisedClient"]

KINDS = {"websocket": DUPLEX, "long_polling": HELD, "polling": POLL, **dict.fromkeys(STREAMS, STREAM)}
POLL_INTERVAL = (0.1, 1.0)


class SupervisedClient(Client):
    """A shell of the policy, as client/supervisor.py is one."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        rules = Rules(
            attach_timeout=ATTACH_TIMEOUT,
            open_timeout=1e6,  # what gives up here is the machine
            backoff=(0.1, 2.0),
            upgrade_interval=(0.5, 10.0),
            insists=True,
        )
        self.policy = Supervision(
            [(name, KINDS[name]) for name in dict.fromkeys(world.conditions.kinds)], rules, world.rnd.random, world.now
        )
        self.owners: dict[int, ClientSocket | Stream | Poll | None] = {}
        self.roles: dict[int, str] = {}
        self.started: Counter[str] = Counter()  # by role
        self.told: set[int] = set()  # those of which the policy knows that they are attached
        self._gen: int | None = None  # of what is started now, if it opens beside another one
        self._reserved = 0
        self._starting = False
        self._wakes = FOREVER

    # what the policy says

    def turn(self) -> None:
        """Tells the policy what the carriers' objects say of themselves, and does what it says."""
        policy, world = self.policy, self.world
        for number, owner in list(self.owners.items()):
            if owner is not None and owner.over:
                self.gone(number, policy.lost, "cut")
        policy.contact = self.machine.contact
        policy.calm = self.machine.state is State.OPEN
        while self.machine.outcome is None and (actions := policy.turn(world.now)):
            for verb, *details in actions:
                if self.machine.outcome is None:
                    getattr(self, f"do_{verb}")(*details)
        due = policy.deadline()
        if self.machine.outcome is None and world.now < due < FOREVER and due != self._wakes:
            self._wakes = due
            world.at(due, self.turn)

    def do_start(self, number: int, name: str, role: str) -> None:
        self.owners[number] = None
        self.roles[number] = role
        self.started[role] += 1
        self._gen = self._reserved if role == "open" else None
        if role == "probe":
            if name == "websocket":
                self.owners[number] = super().probe()
            else:
                self.soon(number, lambda: self.gone(number, self.policy.proven))
        elif name in BY_URL and self.machine.sid and not self.machine.ticket():
            self.ask(name)  # go_on_soon() follows
        else:
            if role == "carry" and name == "websocket" and not self.machine.sid:
                self._reserved = self.machine.reserve()
            self.owners[number] = self._begin(name)
        self._gen = None

    def _begin(self, name: str) -> ClientSocket | Stream | Poll:
        self._starting = True
        owner = super().start(name)
        self._starting = False
        return owner

    def do_test(self, number: int) -> None:
        self.soon(number, lambda: self.tell(self.policy.tested, number, 2 * self.world.conditions.delay))

    def do_stop(self, number: int) -> None:
        owner = self.owners.pop(number, None)
        if owner is None:
            return
        if owner.carrier is not None:
            self.machine.lost(owner.carrier, self.world.now)
        owner.over = True
        if isinstance(owner, ClientSocket):
            owner.link.close(1000, "")
        elif isinstance(owner, Stream):
            owner._leave()
        elif not owner.request.over:
            owner.request.abandon()

    def do_take(self, number: int) -> None:
        self.roles[number] = "carry"
        owner = self.owners[number]
        assert isinstance(owner, ClientSocket)
        super().attach(owner)

    def do_anew(self) -> None:
        self.machine.end(4411, "no answer to what was sent while opening", self.world.now)

    def do_renew(self, reason: str) -> None:
        self.soon(0, lambda: self.tell(self.policy.renewed))

    def do_end(self, code: int, reason: str) -> None:
        self.machine.end(code, reason, self.world.now)

    # what happens

    def tell(self, event: Callable[..., None], *args: Any) -> None:
        """Tells the policy."""
        event(self.world.now, *args)
        self.world.at(self.world.now, self.turn)

    def gone(self, number: int, event: Callable[..., None], *args: Any) -> None:
        """A carrier has ended of itself."""
        if number in self.owners:
            del self.owners[number]
            self.tell(event, number, *args)

    def soon(self, number: int, action: Callable[[], object]) -> None:
        """After a round trip, if the carrier is still wanted."""
        delay = self.world.delay() + self.world.delay()
        self.world.at(self.world.now + delay, lambda: action() if not number or number in self.owners else None)

    def number_of(self, carrier: NumberedCarrier | None) -> int:
        """0 if the policy has let go of it."""
        return next(
            (number for number, owner in self.owners.items() if owner is not None and owner.carrier is carrier), 0
        )

    def ended(self) -> None:
        self.policy.over(self.world.now)
        super().ended()

    # in place of chance

    def begin(self, carrier: NumberedCarrier) -> Attach:
        return self.machine.start(carrier, self.world.now, gen=self._gen)

    def brings(self, kind: str) -> bool:
        return self._gen is None and super().brings(kind)

    def start(self, kind: str) -> Any:
        """The adversary, or the application, wants another transport."""
        if self.policy.is_open and kind in self.policy.choice.kinds:
            self.policy.switch(self.world.now, kind)
        self.turn()

    def probe(self, *, silent: bool = False) -> ClientSocket:
        if not silent and "websocket" in self.policy.choice.kinds:
            self.start("websocket")
        return super().probe(silent=silent)

    def attach(self, socket: ClientSocket) -> ClientSocket:
        """A probe has its answer, or a WebSocket is to carry."""
        number = next((number for number, owner in self.owners.items() if owner is socket), 0)
        if self._starting:
            return super().attach(socket)
        if number and self.roles[number] == "probe":
            self.tell(self.policy.proven, number)
        else:
            socket.over = True  # let go of
        return socket

    def feed(self, owner: ClientSocket | Stream | Poll | None, carrier: NumberedCarrier, frame: Frame) -> None:
        number, machine, policy = self.number_of(carrier), self.machine, self.policy
        if machine.outcome is not None:
            return
        if frame[:1] == "x" and owner is not None:
            refusal = parse_refusal(str(frame))
            if refusal.scope == "session":
                machine.refused(carrier, refusal.code, refusal.received, refusal.reason, self.world.now)
            self._left(owner)
            self.gone(number, policy.refused, refusal.code, refusal.reason)
            return
        if frame[:1] == "e" and owner is not None:
            self._left(owner)
            self.gone(number, policy.superseded if frame == "esuperseded" else policy.recycled)
            return
        before = machine.inbox.received, machine.outbox.acked
        super().feed(owner, carrier, frame)
        if machine.outcome is not None:
            return
        if machine.sid and not policy.is_open:
            server = machine.server
            self.tell(policy.opened, server.lifetime, min(server.silence, 2 * server.hold), POLL_INTERVAL)
        if number and carrier.attached and number not in self.told:
            self.told.add(number)
            self.tell(policy.attached, number)
        if carrier is machine.carrier and before != (machine.inbox.received, machine.outbox.acked):
            self.tell(policy.delivered, machine.outbox.acked > before[1])

    def _left(self, owner: ClientSocket | Stream | Poll) -> None:
        owner.over = True
        if owner.carrier is not None:
            self.machine.lost(owner.carrier, self.world.now)
        if isinstance(owner, ClientSocket):
            owner.link.close(1000, "")

    def lost(self, carrier: NumberedCarrier) -> None:
        if self.machine.outcome is None:
            self.machine.lost(carrier, self.world.now)
            self.world.at(self.world.now, self.turn)

    def polled(self, poll: Poll, numbered: int) -> None:
        number = self.number_of(poll.carrier)
        if numbered:
            self.starts -= 1
        if poll.carrier.attached:
            self.gone(number, self.policy.answered, bool(numbered))

    def go_on_soon(self, wait: float, kind: str | None = None) -> None:
        """Tickets have come, or did not; or the machine has let go of a carrier; or the network is well again."""
        if kind in BY_URL:
            for number, owner in list(self.owners.items()):
                if owner is None and self.roles[number] == "carry":
                    if self.machine.ticket() and self.machine.outcome is None:
                        self.owners[number] = self._begin(kind)
                    else:
                        self.gone(number, self.policy.lost, "no ticket")
        self.world.at(self.world.now, self.turn)

    def flush(self) -> bool:
        if not super().flush():
            return False
        machine = self.machine
        if self.policy.newest is None and machine.outcome is None and machine.outbox.pending(machine.outbox.acked + 1):
            self.tell(self.policy.news)
        return True
