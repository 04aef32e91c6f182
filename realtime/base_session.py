"""The part of a session that server and client share: `async for`, receive, send, flush and close over its machine.

What an application calls, it calls here; what the machine calls is the session's listener. Knows no aiohttp.
"""

from __future__ import annotations

import asyncio
import logging
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from threading import get_ident
from types import coroutine
from typing import Any, Generic, TypeAlias, TypeVar

from .clock import Patience
from .core.carrier import DUPLEX
from .core.config import OnFull
from .core.cursors import Last
from .core.errors import LocalProtocolError, SendBufferFull, SessionClosed
from .core.frames import TEXT, Dropped, Group, Outgoing, Unshared
from .core.inbox import Received
from .core.lifecycle import DRAINING, State
from .core.machine import SessionMachine, check_close
from .listener import SessionListener
from .loops import NOWHERE, LoopBound, gives_way, running_loop

__all__ = ["BaseSession", "Message"]

log: logging.Logger = logging.getLogger("realtime.session")

Message: TypeAlias = str | bytes | bytearray | memoryview
M = TypeVar("M", bound=SessionMachine)

# Who goes on with a session that is over, though cancelled for that, waits so many seconds for each answer.
STUBBORN = 1.0


# Of BaseSession, and with these alone: every idle session has one.
SLOTS = (
    "__weakref__",
    "_asked",
    "_data",
    "_listener",
    "_machine",
    "_now",
    "_on_full",
    "_senders",
    "_sending",
    "_stubborn",
    "dropped",
)


class SessionFacts(LoopBound, Generic[M]):
    """What a session says of itself, on either end."""

    __slots__ = ()

    _listener: SessionListener[M]
    _machine: M

    @property
    def id(self) -> str:
        """The session's id, for no log (see label). Empty at a client that has not opened yet."""
        return self._machine.sid

    @property
    def label(self) -> str:
        """What logs call the session, this library's and best yours too: 12 hexadecimal digits of a hash of its id, the
        same at both ends. The id cannot be computed from it. Empty at a client that has not opened yet."""
        return self._machine.label

    @property
    def state(self) -> State:
        """connecting, open, detached, draining, closing or closed."""
        return self._machine.state

    @property
    def transport(self) -> str:
        """The name of the transport that carries the session now, or did last; empty before the first."""
        return self._listener.transport

    @property
    def closed(self) -> bool:
        """Whether the session has ended."""
        return self._machine.outcome is not None

    @property
    def close_code(self) -> int | None:
        """The code the session ended with, or None while it has not."""
        outcome = self._machine.outcome
        return None if outcome is None else outcome.code

    @property
    def close_reason(self) -> str | None:
        """The reason the session ended with, or None while it has not."""
        outcome = self._machine.outcome
        return None if outcome is None else outcome.reason

    @property
    def unacknowledged(self) -> list[str | bytes]:
        """What was sent and never acknowledged by the peer, oldest first. Some of it may have arrived."""
        return self._machine.outbox.unacknowledged()

    def on_change(self, callback: Callable[[str], object]) -> Callable[[], None]:
        """Calls `callback(event)` when the session's state or transport changes; returns its own undo.

        `event` is "state", "transport" or "dropped", and at a client also "gap". The callback is plain, quick, and
        called from within the event loop; what it raises is logged. Raises TypeError for what can't be called.
        """
        return self._listener.on_change(callback)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.label or '(no id)'} {self.state} over {self.transport or 'nothing'}>"


class Offered(SessionFacts[M]):
    """How a session takes what is sent to many: nobody waits for it."""

    __slots__ = ()

    _now: Callable[[], float]
    _on_full: OnFull

    @abstractmethod
    def _put(self, items: Sequence[Outgoing]) -> None:
        """Queues messages, for which there is room."""

    @abstractmethod
    def _ask_for_room(self) -> None:
        """Has the peer acknowledge."""

    def _offer(self, item: Outgoing) -> None:
        """Queues a room's message, without waiting: a full outbox drops a message, or closes with 1008 (`on_full`). One
        that is larger than the whole outbox is dropped in any case.

        What the client's protocol can't carry is skipped, and counted as dropped.
        """
        machine = self._machine
        if machine.outcome is not None or machine.closing is not None:
            return
        if machine.selective and machine.unfit(item):
            machine.outbox.dropped += 1
            return
        if item.size > machine.config.max_outbox_size:
            machine.outbox.drop_new()
            self._listener.dirty()
            return
        half_full = machine.offer(item)
        if half_full is not None:
            if half_full:
                self._ask_for_room()
        elif self._on_full == "close":
            machine.outbox.dropped += 1
            machine.end(1008, "too slow: the outbox was full (on_full='close')", self._now())
        else:
            self._ask_for_room()
            if machine.outbox.make_room(item.size):
                machine.send(item)
            else:
                machine.outbox.drop_new()

    def _offer_group(self, group: Group) -> None:
        """_offer() for messages that are nothing without each other: all are queued, or none."""
        machine, count = self._machine, len(group.parts)
        if machine.outcome is not None or machine.closing is not None:
            return
        outbox, carrier = machine.outbox, machine.carrier
        if machine.selective and any(machine.unfit(part) for part in group.parts):
            outbox.dropped += count
        elif group.size > machine.config.max_outbox_size:
            outbox.drop_new(count)
            self._listener.dirty()
        elif group.volatile and (
            carrier is None or outbox.waiting or not carrier.link.writable or not outbox.has_room(group.size, count)
        ):
            return
        elif outbox.has_room(group.size, count):
            self._put(group.parts)
        elif self._on_full == "close":
            outbox.dropped += count
            machine.end(1008, "too slow: the outbox was full (on_full='close')", self._now())
        else:
            self._ask_for_room()
            if outbox.make_room(group.size, count):
                self._put(group.parts)
            else:
                outbox.drop_new(count)


class BaseSession(Offered[M]):
    """A session, as its application sees it on either end. Made by realtime, not by applications."""

    __slots__ = SLOTS

    _last: Last | None = None  # at a client: where the last message received came from, if that was told

    def __init__(self, listener: SessionListener[M], on_full: OnFull) -> None:
        # LoopBound's, without a call.
        self._loop = running_loop() or NOWHERE
        self._thread = get_ident()
        self._listener = listener
        self._now = listener.runtime.clock.now
        self._on_full = on_full
        self._stubborn = False  # its handler was cancelled after the end, and has not ended yet
        self._sending: asyncio.Lock | None = None  # held by who waits for room
        self._senders = 0  # who waits for room, or for the lock
        self._data: dict[Any, Any] | None = None
        self._asked = 0  # the ack of this number was asked for, to make room
        self.dropped: int = 0  # messages the peer told it had dropped

    def _bind(self, machine: M) -> None:
        """The session's machine, which was made with its listener: once, before anything else."""
        self._machine = self._listener.machine = machine

    @property
    def data(self) -> dict[Any, Any]:
        """A dictionary for the application's own use."""
        if self._data is None:
            self._data = {}
        return self._data

    # -- receiving -------------------------------------------------------------------------------------------------

    async def receive(self) -> str | bytes:
        """The next message: str for text, bytes for binary.

        Raises SessionClosed when the session has ended and all that was received has been taken, or when this side
        has called close(). Cancelling it loses nothing.
        """
        try:
            return await self.__anext__()
        except StopAsyncIteration as end:
            raise end.args[0] from None

    def __aiter__(self) -> AsyncIterator[str | bytes]:
        return self

    # What receive() does, which handlers call this way mostly: the fewer coroutines the better. Each idle session has
    # one of these, which hands its future to the task itself: `await` would do that by one more object.
    @coroutine
    def __anext__(self) -> Generator[Any, Any, str | bytes]:
        if get_ident() != self._thread or not self._loop.is_running():
            self._check_loop()
        machine, receivers, woken = self._machine, self._listener, False
        try:
            while True:
                # Who calls while others wait, woken or not, comes after them.
                if machine.inbox.items and (woken or receivers.first is None):
                    item = machine.take(self._now())
                    if receivers.first is not None:
                        receivers.wake_first(len(machine.inbox.items))
                    kind = type(item)
                    if kind is str or kind is bytes:
                        receivers.unanswered = True
                        if self._last is not None:
                            self._last = None
                        return item  # type: ignore[return-value] # just that
                    data = self._told(item)
                    if data is not None:
                        return data
                    continue
                if not machine.inbox.items and (machine.outcome is not None or machine.closing is not None):
                    machine.check_open()
                if receivers.first is None:  # enter(), without a call, as it usually is
                    waiter = receivers.first = self._loop.create_future()
                else:
                    waiter = receivers.enter()
                if machine.state is DRAINING:
                    receivers.may_be_drained()
                try:
                    waiter._asyncio_future_blocking = True  # what a task asks of all that it waits for
                    yield waiter
                except asyncio.CancelledError:
                    receivers.leave(waiter)
                    # It may have been woken: the message is the next one's.
                    receivers.wake_first(len(machine.inbox.items))
                    raise
                if receivers.first is waiter and receivers.others is None:  # leave(), the same
                    receivers.first = None
                else:
                    receivers.leave(waiter)
                woken, receivers.woken = True, False
        except SessionClosed as closed:
            yield from _give_way(self).__await__()
            raise StopAsyncIteration(closed) from None

    def _told(self, item: Received) -> str | bytes | None:
        """Takes what is no plain message; returns the message that is in it, if there is one."""
        assert isinstance(item, Dropped)
        self.dropped += item.count
        self._listener.tell("dropped")
        return None

    # -- sending ---------------------------------------------------------------------------------------------------

    async def send(self, message: Message) -> None:
        """Queues a message; returns when it is buffered. flush() tells when it is acknowledged.

        While there is no room it waits, or drops or closes, by `on_full`. Raises SessionClosed when the session has
        ended or is closing, LocalProtocolError for text with lone surrogates and for what the client's protocol can't
        carry, TypeError for other than str and bytes.
        """
        try:
            item = self._outgoing(message)
            machine, listener = self._machine, self._listener
            carrier = machine.carrier
            if self._senders:
                half_full = None
            elif (
                not (listener.unanswered and carrier is not None and carrier.codec.shape is DUPLEX)
                or listener.marked
                or machine.inbox.items
                or listener.runtime.on_flush
            ):
                half_full = machine.offer(item)
            else:  # the answer to what came last, most likely, and nothing is known that it could go along with
                listener.unanswered, listener.marked = False, True
                half_full = machine.offer(item)
                listener.runtime.write(listener)
            if half_full:
                self._ask_for_room()
            elif half_full is None and self._on_full == "wait":
                await self._wait_and_put(item.size, (item,))
            elif half_full is None:
                await asyncio.sleep(0)  # or who sends for ever, and never waits, would give no others their turn
                self._offer(item)
                machine.check_open()
        except Exception:
            await _give_way(self)
            raise

    async def _wait_and_put(self, size: int, items: Sequence[Outgoing], *, drop: bool = False) -> None:
        """Queues messages when there is room for all, or others can be dropped (`drop`). Raises SessionClosed."""
        machine, outbox, count = self._machine, self._machine.outbox, len(items)
        self._sending = self._sending or asyncio.Lock()
        self._senders += 1
        try:
            async with self._sending:  # first come, first served
                while not (outbox.make_room(size, count, newest=False) if drop else outbox.has_room(size, count)):
                    machine.check_open()
                    self._ask_for_room()
                    await self._listener.progressed()
                machine.check_open()
                self._put(items)
        finally:
            self._senders -= 1

    def _put(self, items: Sequence[Outgoing]) -> None:
        """Queues messages, for which there is room."""
        half_full = False
        for item in items:
            half_full = self._machine.send(item)
        if half_full:
            self._ask_for_room()

    def _outgoing(self, message: Message) -> Outgoing:
        """A message that may be sent. Raises as send() does."""
        if get_ident() != self._thread or not self._loop.is_running():
            self._check_loop()
        if type(message) is str and message.isascii():  # as it usually is
            item: Outgoing = Unshared(TEXT, message, len(message))
        else:
            item = Unshared.message(message)
        machine = self._machine
        if machine.outcome is not None or machine.closing is not None:
            machine.check_open()
        if machine.selective:
            unfit = machine.unfit(item)
            if unfit:
                raise LocalProtocolError(unfit)
        return item

    def send_nowait(self, message: Message) -> None:
        """Queues a message at once. Raises SendBufferFull when there is no room; else like send()."""
        item = self._outgoing(message)
        machine = self._machine
        half_full = None if self._senders else machine.offer(item)
        if half_full is None:
            raise SendBufferFull(len(machine.outbox), machine.outbox.size)
        if half_full:
            self._ask_for_room()

    def _ask_for_room(self) -> None:
        """A peer need not acknowledge before a quarter of its window has come, which may be more than the outbox
        holds: so it is asked, once for each time that it has answered."""
        outbox = self._machine.outbox
        if outbox.acked >= self._asked:
            self._asked = max(outbox.last, outbox.acked + 1)
            self._machine.ask_for_acks()

    @gives_way
    async def flush(self) -> None:
        """Waits until everything sent so far is acknowledged by the peer.

        Raises SessionClosed when the session ends before that.
        """
        self._check_loop()
        if self._machine.outcome is not None:
            await _give_way(self)
        outbox = self._machine.outbox
        target = outbox.appended
        # First until a carrier was handed all of it (or the policy dropped it), then until that is acked.
        # A ping goes behind each part that is written, or the last part's ack would wait for its delay.
        while outbox.appended - outbox.unnumbered < target:
            self._machine.ask_for_acks()
            await self._wait_for_progress()
        if outbox.acked < (number := outbox.last):
            self._machine.ask_for_acks()
        while outbox.acked < number:
            await self._wait_for_progress()

    async def _wait_for_progress(self) -> None:
        machine = self._machine
        if machine.outcome is not None:
            raise SessionClosed(machine.outcome.code, machine.outcome.reason)
        await self._listener.progressed()

    # -- closing ---------------------------------------------------------------------------------------------------

    @gives_way
    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Closes the session cleanly: the peer gets all that was sent, then the close.

        Returns when the peer has acknowledged it, or after close_timeout seconds, when the session goes on closing in
        the background. What arrives from now on is discarded. Closing twice is harmless.
        Raises LocalProtocolError for a code that applications may not use, TypeError for a reason that is no text.
        """
        check_close(code, reason)
        self._check_loop()
        self._machine.close(code, reason, self._now())
        try:
            async with Patience(self._machine.config.close_timeout):
                await self.wait_closed()
        except TimeoutError:
            log.debug("= session %s: close not acknowledged within close_timeout", self.label)

    async def wait_closed(self) -> None:
        """Waits until the session has ended."""
        self._check_loop()
        if self._machine.outcome is not None:
            await _give_way(self)
        while self._machine.outcome is None:
            await self._wait_for_progress()


async def _give_way(session: BaseSession[Any]) -> None:
    """Before the end is told: whoever asks again and again must not stop all others, nor escape being cancelled."""
    await asyncio.sleep(STUBBORN if session._stubborn else 0)
