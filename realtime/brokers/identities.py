"""Identities over a broker, as a worker has them: the rooms of those that have sessions here are followed, closings are
done and confirmed, questions answered (docs/scaling.md §11).

What it asks of others does brokers/asking. Knows no sessions: who is here is its place's affair.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from itertools import islice
from typing import Protocol

from ..broadcasts import Broadcasts, Receiver
from ..clock import Patience
from ..core.errors import BrokerError
from ..core.frames import Group, Outgoing, RoomItem
from ..core.identities import (
    CLOSINGS,
    QUESTIONS,
    SKEW,
    Closing,
    Closings,
    Question,
    SessionInfo,
    answered,
    room_of,
    sessions_in,
)
from .asking import CLOSINGS_KEPT, LIFE, Asking
from .base import Keep
from .excuses import EXCUSED, excuse
from .local import LocalRoom
from .messages import decoded, encoded
from .publishing import NOTHING
from .rooms import Rooms, Timing

__all__ = ["Here", "Identities", "following"]

log: logging.Logger = logging.getLogger("realtime.broker")

PATIENCE = 1.0  # seconds for which an open waits until its identity is followed
RARELY = 12  # identities are compared in one of so many sweeps
PAUSE = 0.25  # seconds until what the broker did not take is tried again
MANY = 256  # answers at once


class Here(Protocol):
    """The identities of this process."""

    @property
    def broadcasts(self) -> Broadcasts:
        """How many are sent to."""

    def of(self, identity: str) -> Collection[Receiver]:
        """The sessions of an identity."""

    def withdraw(self, identity: str, code: int, reason: str) -> int:
        """Ends them, and refuses the opens that are asked about; how many ended."""

    def infos(self, identity: str, worker: str) -> list[SessionInfo]:
        """What is told of them."""


class OfIdentity:
    """The sessions of an identity, as the members of its room."""

    __slots__ = ("_here", "_identity")

    def __init__(self, here: Here, identity: str) -> None:
        self._here = here
        self._identity = identity

    @property
    def broadcasts(self) -> Broadcasts:
        """How they are sent to."""
        return self._here.broadcasts

    def members(self, name: str) -> Collection[Receiver]:
        """Who they are."""
        return self._here.of(self._identity)

    def join(self, receiver: Receiver, name: str) -> bool:
        """Nobody does: they are in it by their identity."""
        return False

    def leave(self, receiver: Receiver, name: str) -> bool:
        """Nor does anybody leave."""
        return False

    def put_out(self, receiver: Receiver, name: str) -> None:
        """Nobody is: such a room is not closed."""


class Ear:
    """The only member of a room in which workers are told something."""

    def __init__(self, here: Here, told: Callable[[str | bytes], None], missed: Callable[[], None]) -> None:
        self.id = "the server"
        self._here = here
        self._told = told
        self._missed = missed

    # As the members of a room:

    @property
    def broadcasts(self) -> Broadcasts:
        """How it is told."""
        return self._here.broadcasts

    def members(self, name: str) -> Collection[Receiver]:
        """Itself."""
        return (self,)

    def join(self, receiver: Receiver, name: str) -> bool:
        """Nobody else does."""
        return False

    def leave(self, receiver: Receiver, name: str) -> bool:
        """Nor does anybody leave."""
        return False

    def put_out(self, receiver: Receiver, name: str) -> None:
        """It stays."""

    # As a receiver:

    def _offer(self, item: Outgoing) -> None:
        self._told(item.data)

    def _offer_group(self, group: Group) -> None:
        """Nobody tells it any."""

    def _offer_room(self, item: RoomItem) -> None:
        self._told(item.plain.data)

    def _offer_position(self, room: str, cursor: str, missing: int | None = None) -> None:
        if missing is not None:
            self._missed()

    def _miss(self, count: int) -> None:
        self._missed()

    async def _give_room(self, item: RoomItem) -> None:
        self._told(item.plain.data)

    def _left(self, room: str) -> None:
        """It does not leave."""

    def _check_member(self) -> None:
        """It is always there."""


class Identities:
    """Identities of one process that go over a broker, from start() to the end of its rooms."""

    def __init__(self, rooms: Rooms, here: Here, timeout: float, timing: Timing) -> None:
        self._rooms = rooms
        self._here = here
        self._sweep = timing.sweep
        self._store = rooms._store
        self._asking = Asking(rooms._store, rooms._publishing, rooms.worker, timeout, rooms.tasks.begin, timing.lease)
        self._closings = Closings(time.time())
        self._began = asyncio.get_running_loop().time()
        self._followed: dict[str, LocalRoom] = {}
        self._answers: dict[str, str] = {}  # that the store does not have yet
        self._answering = False
        self._reading = self._missed = False
        rooms._attending.also(self._asking.part)
        rooms.watchers.append(self._asking)

    def start(self) -> None:
        """Begins, when its rooms have. Does not wait for the broker."""
        self._hold(QUESTIONS, NOTHING, self._asked, lambda: None, RARELY)
        closings = self._hold(CLOSINGS, CLOSINGS_KEPT, self._told, self._gap, 1)
        self._rooms.tasks.begin(self._begin(closings))
        self._rooms.tasks.keep_up(self._look)

    def _hold(
        self, name: str, keep: Keep, told: Callable[[str | bytes], None], missed: Callable[[], None], every: int
    ) -> LocalRoom:
        return self._rooms.hold(name, keep, Ear(self._here, told, missed), every)

    async def _look(self) -> None:
        while True:
            with suppress(BrokerError):
                await self._asking.look()
            await asyncio.sleep(self._sweep)

    # -- who is here ---------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def following(self, identity: str) -> AsyncIterator[None]:
        """Follows an identity meanwhile. Waits until it does, not for long, and not while the broker is away."""
        room = self._follow(identity)
        try:
            if not room.follower.live and self._store.run_of(room.name):
                with suppress(TimeoutError):
                    async with Patience(PATIENCE):
                        await room.live()
            yield
        finally:
            self._rooms.release(room)

    def here(self, identity: str) -> None:
        """A session of this identity is here."""
        if identity not in self._followed:
            self._followed[identity] = self._follow(identity)

    def gone(self, identity: str) -> None:
        """One has ended."""
        if identity in self._followed and not self._here.of(identity):
            self._rooms.release(self._followed.pop(identity))

    def _follow(self, identity: str) -> LocalRoom:
        return self._rooms.hold(room_of(identity), NOTHING, OfIdentity(self._here, identity), RARELY)

    # -- what applications ask for -------------------------------------------------------------------------------------

    async def send(self, identity: str, item: Outgoing, skipped: frozenset[str]) -> None:
        """To all its sessions. Raises BrokerError."""
        await self._rooms._publishing.publish(room_of(identity), NOTHING, encoded(item, skipped))

    async def close(self, identity: str, code: int, reason: str) -> int:
        """Here first, whatever comes of the rest; how many sessions ended, everywhere. Raises BrokerError."""
        closing = self._asking.closing(identity, code, reason)
        ended = self._do(closing)
        return ended + await self._asking.close(closing, f"the identity is closed in this process ({ended} sessions)")

    async def sessions(self, identity: str) -> list[SessionInfo]:
        """Those of all workers. Raises BrokerError."""
        answers = await self._asking.ask(identity)
        found = [one for worker, answer in sorted(answers.items()) for one in sessions_in(answer, worker)]
        return self._here.infos(identity, self._rooms.worker) + found

    # -- what others ask for -------------------------------------------------------------------------------------------

    def _do(self, closing: Closing) -> int:
        ended = self._here.withdraw(closing.identity, closing.code, closing.reason)
        self._closings.done(closing.id, ended)
        return ended

    def _told(self, text: str | bytes) -> None:
        closing = Closing.parse(text)
        if closing is not None:
            lived = asyncio.get_running_loop().time() - self._began
            self._confirm(closing, concerns=self._closings.concerns(closing, lived))

    def _confirm(self, closing: Closing, *, concerns: bool) -> None:
        if self._asking.is_own(closing.id):
            return
        if concerns:
            self._do(closing)
        # Told again: its store may have lost the answer.
        self._answer(closing.id, str(self._closings.ended(closing.id) or 0))

    def _asked(self, text: str | bytes) -> None:
        question = Question.parse(text)
        if question is not None and not self._asking.is_own(question.id):
            self._answer(question.id, answered(self._here.infos(question.identity, self._rooms.worker)))

    def _answer(self, question: str, text: str) -> None:
        self._answers[question] = text
        if not self._answering:
            self._answering = True
            self._rooms.tasks.begin(self._say())

    async def _say(self) -> None:
        part = self._asking.part
        try:
            while self._answers:
                some = dict(islice(self._answers.items(), MANY))
                for question in some:  # which may be asked again meanwhile, of another run of the store
                    del self._answers[question]
                calls = (self._store.answer(part, question, text) for question, text in some.items())
                results = await asyncio.gather(*calls, return_exceptions=True)
                failed = False
                for (question, text), result in zip(some.items(), results, strict=True):
                    if isinstance(result, BaseException):
                        failed = True
                        excuse(result)
                        self._answers.setdefault(question, text)
                if failed:
                    await asyncio.sleep(PAUSE)
                    await self._store.reached(CLOSINGS)
        finally:
            self._answering = False

    # -- closings that were not heard ----------------------------------------------------------------------------------

    async def _begin(self, closings: LocalRoom) -> None:
        """Reads them as soon as the broker is reached, so that few are let in before, whom what was closed in the
        minute before this worker began would meet; and behind the subscription."""
        await self._store.reached(CLOSINGS)
        self._gap()
        await closings.live()
        self._gap()

    def _gap(self) -> None:
        self._missed = True
        if not self._reading:
            self._reading = True
            self._rooms.tasks.begin(self._read())

    async def _read(self) -> None:
        """Takes what is kept, as far as it is news."""
        while self._missed:
            self._missed, done = False, False
            with EXCUSED:
                after, more = None, True
                while more:
                    last = 0 if after else CLOSINGS_KEPT.history
                    reading = await self._store.read(CLOSINGS, CLOSINGS_KEPT, after, None, last)
                    for entry in reading.entries:
                        found = decoded(entry.payload)
                        if found is not None:
                            self._told_late(found[0].data)
                        after = entry.position
                    more = reading.more
                    await asyncio.sleep(0)
                done = True
            if not done:
                self._missed = True
                await asyncio.sleep(PAUSE)
                await self._store.reached(CLOSINGS)
        self._reading = False

    def _told_late(self, text: str | bytes) -> None:
        closing = Closing.parse(text)
        if closing is not None:
            missed = self._closings.missed(closing)
            # Who has told it again may be waiting for an answer still, which was lost with its store.
            if missed or closing.at > time.time() - LIFE - SKEW:
                self._confirm(closing, concerns=missed)


def following(shared: Identities | None, identity: str | None) -> AbstractAsyncContextManager[None]:
    """Follows an identity meanwhile, where there is one, and a broker."""
    return nullcontext() if shared is None or identity is None else shared.following(identity)
