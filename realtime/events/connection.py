"""The events of one session, at either end: what its messages say, in order, and what is answered.

Handlers are called here, in the task that receives; the next packet is taken when a coroutine has returned. So there is
back-pressure: the peer's window waits for the handlers. But while a call waits for its ack, what comes is read ahead,
or that ack might wait behind events which wait for the handler that calls.

Who is in which namespace is told by the two ends: namespaces/connection and client/events.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from ..base_session import BaseSession
from ..clock import Timer
from ..core.errors import (
    BrokerError,
    EventError,
    LocalProtocolError,
    RemoteProtocolError,
    SessionClosed,
    Unauthorized,
)
from ..core.machine import FOREVER
from ..core.queues import EMPTY
from ..groups import send_contents, send_kept
from ..loops import begin, ends
from ..protocols.layers.socketio import packets
from ..protocols.layers.socketio.answers import FAILED, UNKNOWN, answers, error
from ..protocols.layers.socketio.decoder import Decoder, decode
from ..protocols.layers.socketio.packets import Packet
from .annotations import SHOWN
from .calls import Calls
from .leaving import Leaving
from .listeners import Listener, Listeners

__all__ = ["Connection", "Limits", "Member", "around"]

log: logging.Logger = logging.getLogger("realtime.session")

S = TypeVar("S", bound=BaseSession[Any])


class Limits(NamedTuple):
    """What one session may have wait: see Events."""

    max_attachments: int = 64
    max_waiting: int = 1024
    max_waiting_size: int = 4_194_304
    attachment_timeout: float = 30.0

    def decoder(self, version: int) -> Decoder:
        """What decodes one session's messages within these."""
        return Decoder(
            version,
            max_attachments=self.max_attachments,
            max_size=self.max_waiting_size,
            patience=self.attachment_timeout,
        )


class Member(Protocol):
    """One session in one namespace."""

    @property
    def namespace(self) -> str:
        """The name of that."""

    @property
    def closed(self) -> bool:
        """Whether it is in it no more."""

    @property
    def _listeners(self) -> Listeners:
        """Its handlers."""

    @property
    def _lead(self) -> tuple[Any, ...]:
        """What its handlers are given in front of an event's arguments."""

    @property
    def _middlewares(self) -> Sequence[Callable[..., Awaitable[Any]]]:
        """What stands around its handlers, the outermost first."""


class Connection(ABC, Generic[S]):
    """The events of one session. `numbers`: see Calls."""

    def __init__(self, session: S, version: int, limits: Limits, numbers: Iterator[int] | None = None) -> None:
        self.session: S = session
        self.calls: Calls = Calls(self._calls_changed, numbers)
        self.answers_unknown: bool = True  # the peer knows that an ack may tell an error
        self._limits = limits
        self._decoder = limits.decoder(version)
        # Read, and not taken: as messages, since what they say takes many times as much. With the size of each packet.
        self._ahead: deque[tuple[list[str | bytes], int]] = EMPTY
        self._ahead_size = 0
        self._begun: list[str | bytes] = []  # of a packet that was begun to be read ahead
        self._reader: asyncio.Task[None] | None = None  # which reads ahead
        self._busy = False  # a handler runs, and whoever receives waits for it
        self._leaving = Leaving(session, self._left)
        self._beside: dict[Listener, set[asyncio.Task[None]]] = {}
        self._timer: Timer | None = None  # for attachments
        session._machine.inbox.group(*packets.GROUPS, limits.max_attachments, limits.max_waiting_size)

    @property
    def version(self) -> int:
        """Of the packets."""
        return self._decoder.version

    # -- receiving -----------------------------------------------------------------------------------------------------

    async def serve(self) -> None:
        """Takes what the session brings, until it ends or is cancelled."""
        session, calls, leaving = self.session, self.calls, self._leaving
        inbox, listener, look = session._machine.inbox, session._listener, leaving.look
        leaving.task = asyncio.current_task()
        try:
            while True:
                if self._ahead:
                    messages, size = self._ahead.popleft()
                    self._ahead_size -= size
                    packet = decode(self.version, messages)
                else:
                    if self._reader is not None:
                        self._stop_reader()
                    try:  # what receive() does, without a coroutine of its own for each message
                        message = await session.__anext__()
                    except StopAsyncIteration as end:
                        raise end.args[0] from None
                    found = self._decode(message)
                    if found is None:
                        continue
                    packet, size = found
                    if self._begun:
                        self._begun = []
                if left := packet.type == packets.DISCONNECT:
                    leaving.done(packet.namespace)
                work = self._take(packet, size)
                if work is not None:
                    self._busy = True
                    if calls.waiting or self._reader is not None:
                        self._calls_changed()
                    leaving.busy, listener.heard = packet.namespace, look  # run(), without a coroutine of its own
                    if left or leaving.noted or (inbox.items and inbox.received > leaving.looked):
                        look(left)
                    try:
                        await work
                    except asyncio.CancelledError:
                        if not leaving.cut():
                            raise
                    finally:
                        self._busy, leaving.busy, listener.heard = False, None, None
                        if leaving.noted:
                            leaving.end(packet.namespace, left)
        except SessionClosed:
            if not session.closed and session._machine.closing is None:
                raise

    @abstractmethod
    def _take(self, packet: Packet, size: int) -> Awaitable[None] | None:
        """Does what a packet asks for; what this returns is awaited before the next is taken."""

    @abstractmethod
    def _left(self, name: str) -> bool:
        """A namespace is left, by a packet that is taken later. Whether anybody was in it, who is out now."""

    def _decode(self, message: str | bytes) -> tuple[Packet, int] | None:
        decoder, before = self._decoder, self._decoder.deadline
        try:
            found = decoder.feed(message, self.session._now())
        except RemoteProtocolError as wrong:
            self.fail(wrong)
        if decoder.deadline != before:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if decoder.deadline != FOREVER:
                self._timer = self.session._listener.runtime.clock.call_at(decoder.deadline, self._expire)
        return found

    def _expire(self) -> None:
        try:
            self._decoder.expire(self.session._now())
        except RemoteProtocolError as wrong:
            self.session._machine.fail(wrong, self.session._now())

    def fail(self, wrong: RemoteProtocolError) -> None:
        """The peer has broken the protocol. Raises SessionClosed."""
        self.session._machine.fail(wrong, self.session._now())
        raise SessionClosed(wrong.close_code, wrong.reason)

    # -- reading ahead -------------------------------------------------------------------------------------------------

    def _calls_changed(self) -> None:
        """The first call waits, or none does any more; or a handler begins to run."""
        if not self.calls.waiting:
            self._stop_reader()
        elif self._busy and self._reader is None:
            self._reader = begin(self._read_ahead(), "realtime events ahead")

    def _stop_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None and reader is not asyncio.current_task():
            reader.cancel()

    async def _read_ahead(self) -> None:
        limits = self._limits
        if self._ahead is EMPTY:
            self._ahead = deque()
        ahead, me = self._ahead, asyncio.current_task()
        try:
            while self._reader is me:
                message = await self.session.receive()
                self._leaving.taken(message)
                self._begun.append(message)
                found = self._decode(message)
                if found is None:
                    continue
                (packet, size), whole, self._begun = found, self._begun, []
                if packet.type == packets.ACK and packet.id is not None:
                    self.calls.answer(packet.namespace, packet.id, packet.data)
                    continue
                self._ahead_size += size
                if len(ahead) >= limits.max_waiting or self._ahead_size > limits.max_waiting_size:
                    self.fail(
                        RemoteProtocolError(1008, "too many events wait for a handler (max_waiting, max_waiting_size)")
                    )
                ahead.append((whole, size))
        except SessionClosed:
            pass  # who receives finds out
        finally:
            if self._reader is me:
                self._reader = None

    # -- handlers ------------------------------------------------------------------------------------------------------

    def _event(self, member: Member, packet: Packet) -> Awaitable[None] | None:
        """An event goes to its handler."""
        name, args = packet.data[0], packet.data[1:]
        listener = member._listeners.find(name)
        if listener is None:
            if packet.id is None or not self.answers_unknown:
                return None
            return self._answer(member, packet, error(UNKNOWN, f"there is no handler of {name[:SHOWN]!r}"))
        if member._middlewares:
            work = self._run(member, packet, self._through(member, name, args, listener))
        else:
            try:  # what is asked of which class it is may raise as well, as objects do that stand for others
                result = _called(member, listener, name, args)
                waits = listener.awaited or inspect.isawaitable(result)
                told = None if waits or packet.id is None else answers(result)
            except BaseException as raised:
                if ends(raised):
                    raise
                return self._answer(member, packet, _error(self.session, member, name, raised))
            if not waits:
                return None if told is None else self._answer(member, packet, told)
            work = self._run(member, packet, result)
        return work if listener.concurrent == 1 else self._run_beside(listener, work)

    async def _run(self, member: Member, packet: Packet, handling: Awaitable[Any]) -> None:
        try:
            result = await handling
            if packet.id is None:
                return
            told = answers(result)
        except BaseException as raised:
            if ends(raised):
                raise
            told = _error(self.session, member, packet.data[0], raised)
        sending = self._answer(member, packet, told)
        if sending is not None:
            await sending

    async def _through(self, member: Member, event: str, args: list[Any], listener: Listener) -> Any:
        """Through the middlewares, to the handler."""

        async def last() -> Any:
            result = _called(member, listener, event, args)
            return await result if inspect.isawaitable(result) else result

        return await around(member, event, args, last)

    def _run_beside(self, listener: Listener, work: Coroutine[Any, Any, None]) -> Awaitable[None] | None:
        """Runs what others need not wait for; too many of one handler wait for each other."""
        running = self._beside.get(listener)
        if running is None:  # handlers that are registered no more are forgotten with their last task
            self._beside = {one: tasks for one, tasks in self._beside.items() if tasks}
            running = self._beside[listener] = set()
        if len(running) >= listener.concurrent:
            return self._when_one_is_done(running, listener, work)
        task = begin(work, "realtime event handler")
        running.add(task)
        task.add_done_callback(running.discard)
        return None

    async def _when_one_is_done(
        self, running: set[asyncio.Task[None]], listener: Listener, work: Coroutine[Any, Any, None]
    ) -> None:
        try:
            while len(running) >= listener.concurrent:
                await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        except BaseException:
            work.close()
            raise
        self._run_beside(listener, work)

    # -- answers -------------------------------------------------------------------------------------------------------

    def _answer(self, member: Member, event: Packet, args: list[Any]) -> Awaitable[None] | None:
        """Sends the ack of an event, if it is to have one; what this returns waits until there is room for it."""
        if event.id is None:
            return None
        name, ack = event.data[0], Packet(packets.ACK, member.namespace, args, event.id)
        session, version = self.session, self._decoder.version
        try:
            try:
                sending = send_kept(session, packets.write(version, ack))
            except SessionClosed:
                return None
            except Exception as raised:  # it is no JSON, bytes that cannot go there, or of a class that raises
                told = ack._replace(data=_error(self.session, member, name, raised))
                sending = send_kept(session, packets.write(version, told))
        except SessionClosed:
            return None
        return sending and self._patiently(sending)

    async def _patiently(self, sending: Awaitable[None]) -> None:
        try:
            await sending
        except SessionClosed:
            pass
        except LocalProtocolError:  # it went where that cannot be said, meanwhile
            log.exception("an answer to session %s could not be sent", self.session.label)

    async def send(self, packet: Packet) -> None:
        """Sends a packet: waits for room as session.send() does, and raises as that does; and TypeError and
        LocalProtocolError for data that no packet can say."""
        contents = packets.write(self.version, packet)
        told = packet.type == packets.EVENT and (packet.id is None or self.session._on_full != "drop_oldest")
        await send_contents(self.session, contents, kept=not told)

    async def tell(self, member: Member, event: str, *args: Any) -> None:
        """Tells the handler of what no peer sends, such as "disconnect". What it raises is logged."""
        listener = member._listeners.told(event)
        if listener is None:
            return
        given = args if listener.most >= len(args) else args[: int(listener.most)]
        try:
            result = listener.function(*member._lead, *given)
            if inspect.isawaitable(result):
                await result
        except BaseException as raised:
            if ends(raised):
                raise
            if not isinstance(raised, SessionClosed):
                log.exception("the handler of %r of session %s raised", event, self.session.label)

    # -- the end -------------------------------------------------------------------------------------------------------

    def over(self, code: int, reason: str) -> None:
        """No ack will come any more, and nothing is waited for."""
        self.calls.fail(code, reason)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def cancel(self) -> None:
        """Cancels the handlers that run beside."""
        for task in set().union(*self._beside.values()):
            task.cancel()

    async def finish(self) -> None:
        """Waits for the handlers that run beside; cancelled, it cancels them."""
        self._stop_reader()
        running = set().union(*self._beside.values())
        if running:
            try:
                await asyncio.wait(running)
            except asyncio.CancelledError:
                self.cancel()
                raise


def _error(session: BaseSession[Any], member: Member, event: str, raised: BaseException) -> list[Any]:
    """What the ack of an event says whose handler has raised. What is nobody's answer is logged."""
    if isinstance(raised, EventError):
        return error(raised.code, raised.message, raised.data)
    if isinstance(raised, Unauthorized):
        return error("unauthorized", raised.reason, raised.data)
    event = event[:SHOWN]  # the peer's own words, where a handler takes any
    if isinstance(raised, BrokerError):  # which may meet all sessions at once
        log.warning("the handler of the event %r of session %s raised: %s", event, session.label, raised)
    elif not (isinstance(raised, SessionClosed) and (member.closed or session._machine.closing is not None)):
        log.error("the handler of the event %r of session %s raised", event, session.label, exc_info=raised)
    return error(FAILED, "the handler failed")


def _called(member: Member, listener: Listener, event: str, args: list[Any]) -> Any:
    """What calling a handler gives. Raises EventError for arguments that it does not take."""
    fitted = listener.fit(event, args)
    if listener.catch_all:
        fitted.insert(0, event)
    return listener.function(*member._lead, *fitted)


async def around(member: Member, event: str, args: list[Any], last: Callable[[], Awaitable[Any]]) -> Any:
    """Calls the middlewares, each of which calls what it stands around."""
    proceed = last
    for middleware in reversed(member._middlewares):

        def step(
            middleware: Callable[..., Awaitable[Any]] = middleware,
            inner: Callable[[], Awaitable[Any]] = proceed,
        ) -> Awaitable[Any]:
            return middleware(member, event, args, inner)

        proceed = step
    return await proceed()
