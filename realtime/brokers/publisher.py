"""Sends to rooms and identities from a process that serves nothing: a task queue, a cron job, a script."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import os
import random
import secrets
import threading
from collections.abc import Callable, Coroutine, Iterable
from contextlib import AsyncExitStack, suppress
from functools import partial
from types import TracebackType
from typing import Any, TypeVar

from ..broadcasts import ids_of
from ..clock import Patience
from ..core.errors import BrokerError
from ..core.frames import Outgoing
from ..core.identities import SessionInfo, check_room, room_of, sessions_in
from ..core.rooms import Entry, Position
from ..core.settings import check
from ..identities import Identity
from ..loops import Tasks
from .asking import Asking
from .base import Stores
from .counts import Counts
from .messages import encoded
from .publishing import NOTHING, Publishing
from .redis import RedisBroker
from .rooms import Timing
from .rules import BROKER, BROKER_TIMEOUT, RoomRules

__all__ = ["BlockingIdentity", "BlockingPublisher", "Publisher"]

T = TypeVar("T")

log: logging.Logger = logging.getLogger("realtime.broker")


LEASE, SWEEP = Timing()


class _Deaf:
    """A listener that subscribes to nothing."""

    def __init__(self, returned: Callable[[str], None]) -> None:
        self.counts: Counts = Counts()
        self.returned = returned

    def received(self, room: str, entry: Entry) -> None: ...
    def subscribed(self, room: str) -> None: ...
    def unsubscribed(self, rooms: Iterable[str]) -> None: ...
    def missed(self, room: str) -> None: ...
    def attended(self, room: str) -> None: ...
    def failed(self) -> None: ...
    async def give_way(self) -> None: ...


class Publisher:
    """Sends to rooms and identities, in an event loop: `async with realtime.Publisher("redis://…") as publisher`.

    `broker` is what the servers have. Rooms that keep something have to be configured as at the servers.
    """

    def __init__(self, broker: Stores | str, *, broker_timeout: float = 5.0) -> None:
        check("broker", broker, BROKER)
        check("broker_timeout", broker_timeout, BROKER_TIMEOUT)
        self._broker = RedisBroker(broker) if isinstance(broker, str) else broker
        self._timeout = broker_timeout
        self._rules = RoomRules()
        self._publishing: Publishing | None = None
        self._asking: Asking
        self._tasks = Tasks("publisher", log)

    def configure_rooms(self, pattern: str, *, history: int = 0, ttl: float = 3600.0, presence: bool = False) -> None:
        """Says what is kept of some rooms, as the servers do: see Server.configure_rooms()."""
        self._rules.add(pattern, history, ttl, presence)

    async def __aenter__(self) -> Publisher:
        source = secrets.token_urlsafe(9)
        self._store = self._broker.store()
        publishing = Publishing(self._store, source, self._timeout, lambda room, position: None)
        self._asking = Asking(self._store, publishing, source, self._timeout, self._tasks.begin, LEASE)
        await self._store.start(source, _Deaf(self._returned))
        self._publishing = publishing
        self._rules.fixed = True
        self._tasks.keep_up(partial(self._sweep, publishing))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._publishing is not None:
            publishing, self._publishing = self._publishing, None
            async with AsyncExitStack() as ends:  # also of who is cancelled here
                ends.push_async_callback(self._store.close)
                ends.push_async_callback(publishing.close)
                ends.push_async_callback(self._tasks.end)
                # What another run of the store has taken back is told before this process, which alone knows of it,
                # ends.
                with suppress(TimeoutError):
                    async with Patience(self._timeout):
                        await publishing.compare()

    async def send(
        self, room: str, message: str | bytes | bytearray | memoryview, *, skip: str | Iterable[str] = ()
    ) -> str:
        """Sends to everyone in a room but `skip` (ids of sessions). Returns the room's cursor behind it.

        Raises TypeError or LocalProtocolError for what is not a message, LocalProtocolError for a room whose name
        begins with a NUL or has a lone surrogate, and BrokerError, whose `maybe_sent` says whether it may be heard all
        the same; and outside of `async with`.
        """
        check_room(room)
        publishing = self._entered()
        item = Outgoing.message(message)
        skipped = ids_of(skip)
        keep = self._rules.keep(room) or NOTHING
        position: Position = await publishing.publish(room, keep, encoded(item, skipped))
        return position.cursor

    def identity(self, identity: str) -> Identity:
        """Whom the servers' authorize hook has called so: `await publisher.identity("ada").send("hello")`. Workers that
        do not confirm a closing are told of it until the end of the `async with`. Raises TypeError for what is no
        str."""
        return Identity(_Outside(self), identity)

    def _entered(self) -> Publishing:
        if self._publishing is None:
            raise BrokerError("a Publisher works within `async with`")
        return self._publishing

    def _returned(self, run: str) -> None:
        self._asking.returned(run)
        if self._publishing is not None:
            self._tasks.begin(self._publishing.compare())

    @staticmethod
    async def _sweep(publishing: Publishing) -> None:
        """What was published is compared with later runs of the store, and forgotten when this one has stood."""
        while True:
            await asyncio.sleep(SWEEP * random.uniform(0.75, 1.25))
            await publishing.sweep()
            await publishing.compare()


class _Outside:
    """Identities, as they are reached from a process that has none."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    def check(self) -> None:
        self._publisher._entered()

    async def send(self, identity: str, item: Outgoing, skipped: frozenset[str]) -> None:
        await self._publisher._entered().publish(room_of(identity), NOTHING, encoded(item, skipped))

    async def close(self, identity: str, code: int, reason: str) -> int:
        asking = self._publisher._asking
        return await asking.close(asking.closing(identity, code, reason), "the identity is to be closed")

    async def sessions(self, identity: str) -> list[SessionInfo]:
        answers = await self._publisher._asking.ask(identity)
        return [one for worker, answer in sorted(answers.items()) for one in sessions_in(answer, worker)]


class BlockingPublisher:
    """A Publisher for code without an event loop: it has one, in a thread of its own. From any thread:
    `with realtime.BlockingPublisher("redis://…") as publisher: publisher.send("room", "text")`. Who waits for an answer
    in another thread when the `with` is left gets a BrokerError; so does a process that was forked off within the
    `with`, where the thread is not: it makes a publisher of its own.
    """

    def __init__(self, broker: Stores | str, *, broker_timeout: float = 5.0) -> None:
        self._publisher = Publisher(broker, broker_timeout=broker_timeout)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._process = 0  # that has the thread
        self._lock = threading.Lock()  # held by who looks whether there is a loop, and begins something in it

    def configure_rooms(self, pattern: str, *, history: int = 0, ttl: float = 3600.0, presence: bool = False) -> None:
        """Says what is kept of some rooms, as the servers do: see Server.configure_rooms()."""
        self._publisher.configure_rooms(pattern, history=history, ttl=ttl, presence=presence)

    def __enter__(self) -> BlockingPublisher:
        if self._loop is not None:
            raise BrokerError("this BlockingPublisher is within a `with` already: use it there, or make another")
        self._process = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="realtime publisher", daemon=True)
        self._thread.start()
        try:
            self._run(self._publisher.__aenter__())
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._loop is not None and self._process == os.getpid():
            try:
                self._run(self._publisher.__aexit__(kind, error, trace))
            finally:
                self._stop()

    def _stop(self) -> None:
        """Ends the loop, with whatever somebody waits for there, and its thread."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        assert loop is not None
        assert thread is not None
        asyncio.run_coroutine_threadsafe(_cancel_all(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    def send(self, room: str, message: str | bytes | bytearray | memoryview, *, skip: str | Iterable[str] = ()) -> str:
        """As Publisher.send(), and returns when the broker has it."""
        return self._run(self._publisher.send(room, message, skip=skip))

    def identity(self, identity: str) -> BlockingIdentity:
        """As Publisher.identity(): `publisher.identity("ada").send("hello")`, without `await`."""
        return BlockingIdentity(self._run, self._publisher.identity(identity))

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        if self._loop is not None and self._process != os.getpid():  # before the lock, which a fork may have left held
            coroutine.close()
            raise BrokerError("a fork takes no threads along: make a BlockingPublisher in the process that uses it")
        with self._lock:
            if self._loop is None:
                coroutine.close()
                raise BrokerError("a BlockingPublisher works within `with`")
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise BrokerError("the `with` was left before the broker has answered", maybe_sent=True) from None


async def _cancel_all() -> None:
    """Cancels all tasks of the loop but this one, and waits until they have ended."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class BlockingIdentity:
    """An Identity for code without an event loop: what BlockingPublisher.identity() gives."""

    def __init__(self, run: Callable[[Coroutine[Any, Any, Any]], Any], identity: Identity) -> None:
        self._run = run
        self._identity = identity
        self.name: str = identity.name  # whom the authorize hook has called so

    def send(self, message: str | bytes | bytearray | memoryview, *, skip: str | Iterable[str] = ()) -> None:
        """As Identity.send(), and returns when the broker has it."""
        self._run(self._identity.send(message, skip=skip))

    def close(self, code: int = 4401, reason: str = "") -> int:
        """As Identity.close(), and returns when all workers have confirmed it."""
        ended: int = self._run(self._identity.close(code, reason))
        return ended

    def sessions(self) -> list[SessionInfo]:
        """As Identity.sessions()."""
        found: list[SessionInfo] = self._run(self._identity.sessions())
        return found

    def __repr__(self) -> str:
        return repr(self._identity)
