"""What a handler of a durable session is given: its turns, their commits, and its data (docs/protocol.md §13.1).

What the handler's own task sends is part of its turn, and goes out with the turn's commit. What anybody else sends is a
commit of its own.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Coroutine, Sequence
from typing import Any, Protocol

from ..base_session import Message
from ..clock import Timer
from ..core.durable.changes import Change, Publishes, Touch
from ..core.durable.machine import DurableMachine
from ..core.durable.owner import Hand, Owner
from ..core.durable.record import Close
from ..core.durable.turns import Turn, serialised
from ..core.errors import LocalProtocolError, SendBufferFull, SessionClosed
from ..core.frames import Dropped, Group, Outgoing, payload_size
from ..core.identities import check_room
from ..loops import gives_way
from .member import RoomMember, in_turn
from .rooms import SessionRooms

__all__ = ["DurableSession", "Holder"]

log: logging.Logger = logging.getLogger("realtime.session")

# So many seconds a turn may hold what it sends before that is logged.
LONG_TURN = 5.0
ONE_TASK = "one task receives in a durable session, its handler's: what others received could belong to no turn"
OWN_TURN = "commit() is for the handler's own task: what other tasks send is committed at once"


class Holder(Protocol):
    """Who has the session at this worker, and writes it."""

    owner: Owner
    running: bool
    giving: bool

    @property
    def machine(self) -> DurableMachine:
        """Its machine."""

    def change(self, change: Change) -> asyncio.Future[bool]:
        """What the next write does, too. True when it is stored, False if it never will be."""

    def reauthorized(self, auth: bytes | None) -> asyncio.Future[bool]:
        """The client's auth data are these now. The result is that of change()."""

    def written(self) -> asyncio.Future[bool]:
        """True when the store has answered a write, False if it never will."""

    async def settled(self, number: int) -> bool:
        """Waits until all up to this number is stored, and an end that is to be; False where that never is."""

    def poisoned(self, what: str) -> None:
        """Three handlers have come to nothing by the same."""


class DurableSession(RoomMember):
    """See Session. Made by a Holding, which writes for it."""

    __slots__ = ("_committing", "_doing", "_holding", "_late", "_publishing", "_turn", "redelivered", "restored")

    durable = True

    dropped: int
    _holding: Holder
    _machine: DurableMachine

    def _begin(self, holding: Holder, data: str, *, restored: bool) -> None:
        """Before anything else."""
        self._holding = holding
        self._data = json.loads(data) or {}
        self._rooms = SessionRooms(holding, self, self._hub)
        self._turn: Turn | None = self._new_turn(0)
        self._committing: asyncio.Future[bool] | None = None  # the commit that ends the last turn
        self._doing: asyncio.Task[None] | None = None  # the handler's
        self._late: Timer | None = None  # when a turn has held what it sends for long
        self._moving = asyncio.Lock()
        self._publishing = asyncio.Lock()  # of other tasks, which publish one after the other
        self.redelivered: bool = False
        self.restored: bool = restored

    def _new_turn(self, number: int | None) -> Turn:
        config = self._machine.config
        return Turn(number, self._rooms.joined, config.max_turn, config.max_outbox_size)

    # -- receiving -----------------------------------------------------------------------------------------------------

    def receive(self) -> Coroutine[Any, Any, str | bytes]:
        """The next message, behind a commit of all that was done since the last one. See Session.receive()."""
        self._check_receiver()
        return self._receive()

    def __anext__(self) -> Coroutine[Any, Any, str | bytes]:  # type: ignore[override] # awaitable as well
        self._check_receiver()
        return self._next()

    async def _next(self) -> str | bytes:
        try:
            return await self._receive()
        except SessionClosed as closed:
            raise StopAsyncIteration(closed) from None

    def _check_receiver(self) -> None:
        self._check_loop()
        if not self._is_handlers():
            raise LocalProtocolError(ONE_TASK)

    async def _receive(self) -> str | bytes:
        try:
            return await self._take()
        except SessionClosed:
            await asyncio.sleep(0)  # whoever asks again and again must not stop all others
            raise

    async def _take(self) -> str | bytes:
        machine, listener, owner = self._machine, self._listener, self._holding.owner
        await self._end_turn()
        await self._published()
        while True:
            machine.check_open()
            if not machine.has_room and not owner.closed:
                self._ask_for_room()
                await listener.progressed()
                continue
            hand, given = owner.hand()
            if hand is Hand.GIVE:
                assert given is not None
                self._turn, self.redelivered = self._new_turn(given.turn), given.redelivered
                if not isinstance(given.data, Dropped):
                    return given.data
                self.dropped += given.data.count
                listener.tell("dropped")
                await self._end_turn()
            elif hand is Hand.COUNT:
                await self._stored(self._holding.change(Touch()))
            elif hand is Hand.NOTHING:
                await self._wait()
            elif hand is Hand.POISON:
                self._holding.poisoned(f"message {owner.record.taken + 1}")
            else:
                closed = owner.record.closed
                if closed is None:  # its last part is on its way to the store
                    await self._stored(self._holding.written())
                    continue
                machine.end(*closed, self._now(), clean=True)

    async def _wait(self) -> None:
        """Until there is something to take, or the end."""
        listener = self._listener
        waiter = listener.enter()
        try:
            await waiter
        finally:
            listener.leave(waiter)
            listener.woken = False

    # -- commits -------------------------------------------------------------------------------------------------------

    @in_turn
    async def commit(self, called_in: Turn | None) -> None:
        """Stores what was done since the last commit, and only then is it sent. See Session.commit()."""
        self._check_loop()
        if called_in is None:
            raise LocalProtocolError(OWN_TURN)
        await self._commit_in(called_in)

    async def _commit_in(self, turn: Turn) -> None:
        """Stores what this turn has done, if it is not over by now."""
        await self._committed()
        if turn is self._turn:
            await self._stored(self._commit(turn, takes=False))
        await self._published()
        while not self._machine.has_room and not self._holding.owner.closed:  # or a turn could go on for ever
            self._ask_for_room()
            await self._listener.progressed()
            self._machine.check_open()

    async def _end_turn(self) -> None:
        """The turn is over: its message is taken. Cancelled, it is all the same."""
        await self._committed()
        turn = self._turn
        if turn is not None and (turn.number is not None or not turn.empty):
            self._committing = self._commit(turn, takes=turn.number != 0)
            self._turn = None
            await self._committed()

    async def _committed(self) -> None:
        """Waits for the commit of the last turn, which may have been cancelled meanwhile."""
        committing = self._committing
        if committing is not None:
            await self._stored(committing)
            self._committing = None

    def _commit(self, turn: Turn, *, takes: bool, close: Close | None = None) -> asyncio.Future[bool]:
        """What was done in a turn is to be stored. Raises LocalProtocolError, and SessionClosed."""
        self._machine.check_open()
        data = serialised(self._data, self._machine.config.max_data)
        self._on_time()
        return self._holding.change(turn.commit(data, takes=takes, close=close))

    def _finish(self, close: Close) -> None:
        """The session is to be closed: with all that the turn has done, unless its handler has failed."""
        turn, task = self._turn or self._new_turn(None), self._doing
        self._on_time()
        data = self._holding.owner.record.data
        if task is not None and task.done() and (task.cancelled() or task.exception() is not None):
            turn = self._new_turn(turn.number)
        else:
            try:
                data = serialised(self._data, self._machine.config.max_data)
            except LocalProtocolError as error:
                log.error("the handler of session %s leaves what cannot be stored: %s", self.label, error)
                turn, close = self._new_turn(turn.number), Close(1011, "the handler failed")
        self._turn = None
        self._holding.change(turn.commit(data, takes=bool(turn.number), close=close))

    async def _stored(self, future: asyncio.Future[bool]) -> None:
        """Waits for a write. Raises SessionClosed where it will never be."""
        if not await asyncio.shield(future):
            self._machine.check_open()
            raise SessionClosed(1012, "the session goes on at another worker")

    # -- sending -------------------------------------------------------------------------------------------------------

    @in_turn
    async def send(self, called_in: Turn | None, message: Message) -> None:
        """Sends with the turn's commit; from another task than the handler's, with a commit of its own, behind which it
        returns, and for which it waits for room. See Session.send()."""
        item = self._checked(message)
        if called_in is not None and called_in is self._turn:
            try:
                self._put_in(item)
            except SendBufferFull:
                await asyncio.sleep(0)
                raise
            return
        while not self._machine.has_room:
            self._ask_for_room()
            await self._listener.progressed()
            self._machine.check_open()
        self._machine.send(item)
        await self._stored(self._holding.change(Touch()))

    def send_nowait(self, message: Message) -> None:
        """The same, without waiting."""
        item = self._checked(message)
        if self._is_handlers():
            self._put_in(item)
        elif self._machine.offer(item) is None:
            raise SendBufferFull(len(self._machine.outbox), self._machine.outbox.size)

    def _offer(self, item: Outgoing) -> None:
        """A message to its identity. It never waits: without room it is dropped, of which the client is told."""
        self._offer_several((item,))

    def _offer_group(self, group: Group) -> None:
        self._offer_several(group.parts)

    def _offer_several(self, items: Sequence[Outgoing]) -> None:
        machine = self._machine
        if machine.outcome is not None or machine.ending is not None or machine.finishing is not None:
            return
        if machine.has_room:
            for item in items:
                machine.send(item)
        elif self._on_full == "close":
            machine.end(1008, "too slow: the outbox was full (on_full='close')", self._now())
        else:
            self._ask_for_room()
            machine.drop_new(len(items))

    def _checked(self, message: Message) -> Outgoing:
        self._check_loop()
        item = Outgoing.message(message)
        self._machine.check_open()
        return item

    def _put_in(self, item: Outgoing) -> None:
        """Sends with the turn. Raises SendBufferFull."""
        self._at_work().send(item.data)
        self._on_clock()

    def _at_work(self) -> Turn:
        """The turn that the handler is in."""
        if self._turn is None:
            self._turn = self._new_turn(None)
        return self._turn

    def _on_clock(self) -> None:
        """The turn holds something: that is logged if it takes long."""
        if self._late is None:
            clock = self._listener.runtime.clock
            self._late = clock.call_at(clock.now() + LONG_TURN, self._held_long)

    def _held_long(self) -> None:
        log.warning(
            "the handler of session %s holds what it has sent for %g s: it goes out with the next commit, when it asks"
            " for another message, returns, or calls session.commit()",
            self.label,
            LONG_TURN,
        )

    def _on_time(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    @in_turn
    async def flush(self, called_in: Turn | None) -> None:
        """Commits, and waits until all is acknowledged."""
        if called_in is not None:
            await self._commit_in(called_in)
        await super().flush()

    @in_turn
    async def close(self, called_in: Turn | None, code: int = 1000, reason: str = "") -> None:
        """Commits, and closes."""
        self._check_loop()
        if called_in is not None and self._machine.finishing is None:
            serialised(self._data, self._machine.config.max_data)  # raises
        await super().close(code, reason)

    # -- rooms ---------------------------------------------------------------------------------------------------------

    @in_turn
    @gives_way
    async def publish(self, called_in: Turn | None, room: str, message: Message) -> None:
        """Publishes behind the turn's commit, which has the message; from another task than the handler's, behind a
        commit of its own, for which it waits. See Session.publish()."""
        data = self._checked(message).data
        check_room(room)
        if self._hub.keep is not None:
            self._hub.keep(room)  # raises
        if called_in is not None and called_in is self._turn:
            called_in.publish(room, data)
            self._on_clock()
            return
        async with self._publishing:
            await self._published()
            await self._stored(self._holding.change(Publishes(((room, data),))))

    async def _published(self) -> None:
        """Waits while the broker has yet to take as much as a turn may publish. Raises SessionClosed."""
        owner, config = self._holding.owner, self._machine.config
        while (waiting := owner.record.publishes) and (
            len(waiting) >= config.max_turn or sum(payload_size(one.data) for one in waiting) >= config.max_outbox_size
        ):
            await self._stored(self._holding.written())
