"""One durable session at this worker, from its opening or its takeover to the end of that: its writer, its handler, and
its end here (core/durable/owner).

Writes go one at a time, each asked until the store answers; what a write brings is told behind it.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from ..brokers.base import Records
from ..core.durable.changes import Change, HandedOver, Renewed, Touch
from ..core.durable.machine import DurableMachine
from ..core.durable.opening import Opening
from ..core.durable.owner import Hand, Outcome, Owner
from ..core.durable.record import Close, Record, Stage
from ..core.errors import BrokerError
from ..endpoint import Endpoint
from ..loops import begin, ends
from ..session import ServerListener
from ..sessions import Sessions
from .publishes import Publishing
from .served import Served
from .session import DurableSession

__all__ = ["DurableListener", "Holding", "unused_id"]

log: logging.Logger = logging.getLogger("realtime.session")

# Seconds between two questions to a store that does not answer, at first and at most.
PAUSE = 0.05
MOST_PAUSE = 0.5
# After so many seconds without an answer a session's client has to come again.
STUCK = 10.0
# The write that gives a session up has so many seconds at least.
GIVING = 2.0


def unused_id() -> str:
    """For a write, or a tenure."""
    return secrets.token_urlsafe(12)


class DurableListener(ServerListener):
    """See core.durable.machine.Listener."""

    __slots__ = ("holding",)

    holding: Holding
    parts = False  # what the end leaves is written

    def unwritten(self) -> None:
        """There is something to write."""
        self.holding.due()

    def finish(self, close: Close) -> None:
        """A commit closes the session."""
        self.holding.session._finish(close)


class Keeping(Protocol):
    """Who has all of them."""

    records: Records
    sessions: Sessions
    served: Served

    @property
    def now(self) -> Callable[[], float]:
        """The sessions' clock."""


class Holding:
    """See above. `record` is in the store; `suspected`: it was taken from a worker that died."""

    def __init__(
        self, keeper: Keeping, sid: str, endpoint: Endpoint, record: Record, opening: Opening, *, suspected: bool
    ) -> None:
        self.sid = sid
        self.opening: Opening = opening
        self.owner: Owner = Owner(record, suspected=suspected)
        self.running: bool = True
        self.giving: bool = False  # it is about to be another worker's
        self.gone: asyncio.Event = asyncio.Event()  # it is no more this worker's
        self.machine: DurableMachine
        self.session: DurableSession
        self._keeper = keeper
        self.endpoint: Endpoint = endpoint
        self.renewed: float = asyncio.get_running_loop().time()  # when the store was told last that it has an owner
        self.confirmed: float = float("-inf")  # when the store was asked what it has confirmed last
        self.publishing: Publishing = Publishing(self, keeper.sessions.hub, keeper.served.life(endpoint))
        self._waiters: list[asyncio.Future[bool]] = []  # for the next write
        self._watchers: list[asyncio.Future[bool]] = []  # for the one that is answered next
        self._writing = False
        self._put_off = False

    def make(self, listener: DurableListener, now: float) -> DurableMachine:
        """Its machine."""
        opening = self.opening
        self.machine = DurableMachine(
            self.endpoint.config,
            opening.window,
            listener,
            now,
            owner=self.owner,
            sid=self.sid,
            identity=opening.identity,
            address=opening.address,
            key=opening.key,
        )
        return self.machine

    # -- writes --------------------------------------------------------------------------------------------------------

    def change(self, change: Change) -> asyncio.Future[bool]:
        """What the next write does, too. True when it is stored, False if it never will be."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if self.running:
            self.owner.change(change)
            self._waiters.append(future)
            self.due()
        else:
            future.set_result(False)
        return future

    def reauthorized(self, auth: bytes | None) -> asyncio.Future[bool]:
        """The client's auth data are these now. The result is that of change()."""
        self.opening = self.opening._replace(auth=auth)
        return self.change(Renewed(self.opening.written()))

    def due(self) -> None:
        """There may be something to write: that begins at the end of this turn of the event loop, with what others
        write then."""
        if not self._writing and self.running and self.owner.waiting:
            self._writing = True
            self._put_off = False
            asyncio.get_running_loop().call_soon(self._begin)

    def _begin(self) -> None:
        """Where a handler was woken and has not run yet, what it does goes along."""
        listener = self.machine.listener
        assert isinstance(listener, DurableListener)
        if listener.woken and not self._put_off:
            self._put_off = True
            asyncio.get_running_loop().call_soon(self._begin)
        else:
            begin(self._write(), "realtime durable write")

    async def _write(self) -> None:
        owner, records, keeper = self.owner, self._keeper.records, self._keeper
        try:
            while self.running and owner.waiting:
                before = owner.record
                self.machine.writing()
                write = owner.write(unused_id())
                waiters, self._waiters = self._waiters, []
                outcome, pause, asked = Outcome.BEHIND, PAUSE, keeper.now()
                first = asyncio.get_running_loop().time()
                while outcome is Outcome.BEHIND:
                    try:
                        due = keeper.served.due(keeper.served.life(self.endpoint), write.record)
                        found = await records.put(self.sid, write, due)
                    except BaseException as error:
                        if ends(error):
                            raise
                        if not isinstance(error, BrokerError) and pause == PAUSE:
                            log.exception("! session %s: the store has failed, and is asked again", self.label)
                        if keeper.now() - asked > STUCK:
                            asked = keeper.now()
                            self.machine.recycle(asked)  # another worker may reach the store
                        await asyncio.sleep(pause)
                        pause = min(2 * pause, MOST_PAUSE)
                    else:
                        outcome = owner.answered(found)
                        if outcome is Outcome.BEHIND:
                            log.warning("! session %s: the store has gone back; what is here is written", self.label)
                    if not self.running:
                        break
                    write = owner.again() if outcome is Outcome.BEHIND else write
                if outcome is not Outcome.STORED or not self.running:
                    self._waiters[:0] = waiters
                    if self.running:
                        self.cut()
                    break
                self.confirmed = first
                self.machine.stored(before, keeper.now())
                if owner.record.rooms != before.rooms or owner.record.stage is not before.stage:
                    self.session._rooms.stored()
                watchers, self._watchers = self._watchers, []
                for waiter in (*waiters, *watchers):
                    if not waiter.done():
                        waiter.set_result(True)
                self.publishing.due()
        finally:
            self._writing = False
            if not self.running:
                self._give_up()

    def written(self) -> asyncio.Future[bool]:
        """True when the store has answered a write, False if it never will."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if self.running:
            self._watchers.append(future)
        else:
            future.set_result(False)
        return future

    async def settled(self, number: int) -> bool:
        """Waits until all up to this number is stored, and an end that is to be; False where that never is."""
        owner, machine = self.owner, self.machine
        while self.running and machine.outcome is None:
            if owner.record.received >= number and machine.ending is None:
                return True
            if not await self.written():
                break
        return machine.outcome is not None and not machine.moved

    def compare(self, found: str) -> None:
        """The store shows this id, behind another beginning of it."""
        if self.running and self.owner.compare(found) is Outcome.FENCED:
            self.cut()
        else:
            self.due()

    # -- the handler ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Goes into the session's rooms, publishes what is due, and runs the handler, if it has not returned yet;
        behind a takeover that counts as an attempt."""
        self.session._rooms.restore()
        self.publishing.due()
        hand = self.owner.begin()
        if hand is Hand.GIVE:
            self._run()
        elif hand is Hand.COUNT:
            self.change(Touch()).add_done_callback(self._counted)
        elif hand is Hand.POISON:
            self.poisoned("its beginning")

    def _counted(self, counted: asyncio.Future[bool]) -> None:
        if counted.result() and self.running and self.machine.ending is None:
            self._run()

    def _run(self) -> None:
        handlers = self._keeper.sessions.handlers
        handlers.start(self.session, self.endpoint.handler)
        self.session._doing = handlers.tasks[self.session]

    def poisoned(self, what: str) -> None:
        """Three handlers have come to nothing by the same: 1011."""
        log.error("! session %s: workers have died by %s, three times: the session ends with 1011", self.label, what)
        self.machine.end(1011, "the handler failed, at three workers", self._keeper.now())

    @property
    def at_work(self) -> bool:
        """Whether the handler is at something that it has not committed, or something has to be published."""
        record = self.owner.record
        return bool(record.publishes) or (self.session._turn is not None and record.stage is Stage.LIVE)

    # -- its end here --------------------------------------------------------------------------------------------------

    @property
    def label(self) -> str:
        """What logs call the session."""
        return self.machine.label

    def cut(self) -> None:
        """Another worker has the session."""
        log.info("- session %s goes on at another worker", self.label)
        self._leave(self.machine.cut)

    async def give(self, after: float, turn: float) -> None:
        """Gives the session up in so many seconds, behind the turn that is under way then, if that takes no longer."""
        loop = asyncio.get_running_loop()
        if after:
            with suppress(TimeoutError):
                async with asyncio.timeout(after):
                    await self.gone.wait()
        until = loop.time() + turn
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                while self.running and self.at_work and loop.time() < until:
                    await self.written()
        await self.hand_over(until + turn)

    async def hand_over(self, until: float) -> None:
        """Gives the session up for others to go on with, in time if the store answers; its client comes again."""
        self.owner.leaving = self.giving = True
        if self.running and self.machine.outcome is None:
            done = self.change(HandedOver())
            await asyncio.wait([done], timeout=max(GIVING, until - asyncio.get_running_loop().time()))
        if self.running:
            self._leave(self.machine.hand_over)

    def _leave(self, how: Callable[[float], None]) -> None:
        self.running = False
        how(self._keeper.now())
        task = self._keeper.sessions.handlers.tasks.get(self.session)
        if task is not None and task is not asyncio.current_task():
            task.cancel()
        self._give_up()

    def over(self) -> None:
        """The session has ended, or gone."""
        self.running = False
        self._give_up()

    def _give_up(self) -> None:
        self.gone.set()
        self.publishing.stop()
        self.session._rooms.stop()
        self.session._on_time()
        waiters, self._waiters, self._watchers = [*self._waiters, *self._watchers], [], []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(False)
