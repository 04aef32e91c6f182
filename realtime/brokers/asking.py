"""What is told to all workers, and answered by each: closings of identities, and which sessions one has
(docs/scaling.md §11). For workers, and for publishers, which are none.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict

from ..clock import Patience
from ..core.errors import BrokerError
from ..core.frames import Outgoing
from ..core.identities import CLOSINGS, QUESTIONS, Closing, Question
from ..loops import ends
from .base import Keep, Store, Unanswered, overdue
from .excuses import excuse
from .local import Spawn
from .messages import encoded
from .publishing import NOTHING, Publishing

__all__ = ["CLOSINGS_KEPT", "LIFE", "Asking"]

CLOSINGS_KEPT = Keep(history=10_000, ttl=86_400.0)
LIFE = 600.0  # seconds for which a closing is told
MAX_TOLD = 1000  # closings that all have confirmed, and that another run of the store is told, too
MAX_TELLING = 10_000  # closings that not all have confirmed
REPEAT = 1.0  # seconds after which a question is asked again
FIRST, LONGEST, IDLE = 0.005, 0.25, 1.0  # seconds between two looks at the answers: at first, later, when nobody waits


class Telling:
    """A closing that is told to all workers."""

    def __init__(self, closing: Closing, until: float) -> None:
        self.closing = closing
        self.until = until
        self.run = ""  # of the store, that was told
        self.answers: dict[str, str] = {}
        self.missing: frozenset[str] = frozenset()
        self.problem = ""
        self.confirmed: asyncio.Event = asyncio.Event()
        self.awaited = True


class Asking:
    """All workers, as one process asks them. `name` is its own, which of them it does not ask; a worker's lease is
    `lease` seconds long."""

    def __init__(
        self, store: Store, publishing: Publishing, name: str, timeout: float, spawn: Spawn, lease: float
    ) -> None:
        self._store = store
        self._publishing = publishing
        self._name = name
        self._timeout = timeout
        self._spawn = spawn
        self._lease = lease
        (self.part,) = store.parts_of((CLOSINGS,))
        self._number = 0
        self._telling: dict[str, Telling] = {}  # not all have confirmed
        self._told: OrderedDict[str, Telling] = OrderedDict()
        # The workers that the present run of the store has, and those of earlier ones, which this one may have lost.
        self._run = ""
        self._workers: frozenset[str] = frozenset()
        self._earlier: dict[str, float] = {}

    def number(self) -> str:
        """The id of what is asked next."""
        self._number += 1
        return f"{self._name}-{self._number:x}"

    def is_own(self, id: str) -> bool:
        """Whether this process has asked that."""
        return id.rpartition("-")[0] == self._name

    # -- closing -------------------------------------------------------------------------------------------------------

    def closing(self, identity: str, code: int, reason: str) -> Closing:
        """One that is begun now."""
        return Closing(self.number(), identity, code, reason, time.time())

    async def close(self, closing: Closing, here: str) -> int:
        """Tells all workers; how many sessions they ended, when every one has confirmed. `here` says in words what this
        process has done. Raises BrokerError."""
        if len(self._telling) >= MAX_TELLING:
            raise BrokerError(f"{here}, and nowhere else: {len(self._telling)} closings wait for the broker already")
        telling = Telling(closing, asyncio.get_running_loop().time() + LIFE)
        self._tell(telling)
        try:
            async with Patience(self._timeout):
                await telling.confirmed.wait()
        except TimeoutError:
            raise self._unconfirmed(telling, here) from None
        finally:
            telling.awaited = False
        return sum(int(text) for text in telling.answers.values() if text.isdecimal())

    def _unconfirmed(self, telling: Telling, here: str) -> BrokerError:
        within = f"within broker_timeout ({self._timeout:g} s)"
        if telling.missing:
            names = ", ".join(sorted(telling.missing))
            return BrokerError(
                f"{here}; these workers have not confirmed it {within}, and close when they hear of it: {names}",
                workers=sorted(telling.missing),
            )
        problem = telling.problem or " ".join(self._store.health().problems)
        problem = f" ({problem})" if problem else ""
        return BrokerError(
            f"{here}; whether the other workers have heard of it could not be learned {within}{problem}. They are told"
            f" for {LIFE / 60:g} minutes, while this process lives"
        )

    def _tell(self, telling: Telling) -> None:
        self._telling[telling.closing.id] = telling
        self._spawn(self._tell_all(telling))

    async def _tell_all(self, telling: Telling) -> None:
        """Until every worker has confirmed, or it is too old."""
        loop, id, pause = asyncio.get_running_loop(), telling.closing.id, FIRST
        while loop.time() < telling.until:
            try:
                run = self._store.run_of(CLOSINGS)
                if not run or run != telling.run:
                    closing = telling.closing._replace(age=loop.time() - telling.until + LIFE)
                    payload = encoded(Outgoing.message(closing.text), frozenset())
                    await self._publishing.publish(CLOSINGS, CLOSINGS_KEPT, payload)
                    telling.run = run  # in which it was tried: if that was another, it is told again
                telling.missing = await self._look(id, telling.answers)
                if not telling.missing:
                    telling.confirmed.set()
                    break
                telling.problem = ""
            except BaseException as error:  # if it ended this, nobody would tell them again
                if ends(error):
                    raise
                telling.problem = error.reason if isinstance(error, BrokerError) else repr(error)
                excuse(error)
            pause = min(pause * 2, LONGEST if telling.awaited else IDLE)
            await asyncio.sleep(pause)
        del self._telling[id]
        self._told[id] = telling
        while len(self._told) > MAX_TOLD or (self._told and next(iter(self._told.values())).until < loop.time()):
            self._told.popitem(last=False)

    def failed(self) -> None:
        """The store does not answer. What is asked finds out by itself."""

    def returned(self, run: str) -> None:
        """A run of the store answers: one that did not hear of what was told is told again."""
        run, now = self._store.run_of(CLOSINGS), asyncio.get_running_loop().time()
        for id, telling in tuple(self._told.items()):
            if run not in ("", telling.run):
                del self._told[id]
                if telling.until > now:
                    self._tell(telling)

    # -- asking --------------------------------------------------------------------------------------------------------

    async def ask(self, identity: str) -> dict[str, str]:
        """What each of the other workers says of an identity's sessions. Raises BrokerError."""
        question = Question(self.number(), identity)
        payload = encoded(Outgoing.message(question.text), frozenset())
        answers: dict[str, str] = {}
        missing: frozenset[str] = frozenset()
        problem = ""
        try:
            async with Patience(self._timeout):
                while True:
                    try:
                        await self._publishing.publish(QUESTIONS, NOTHING, payload)
                        waited, pause = 0.0, FIRST
                        while waited < REPEAT:
                            missing = await self._look(question.id, answers)
                            if not missing:
                                return answers
                            await asyncio.sleep(pause)
                            waited, pause = waited + pause, min(pause * 2, LONGEST)
                    except BrokerError as error:
                        problem = error.reason
                        await asyncio.sleep(LONGEST)
        except TimeoutError:
            pass
        if missing:
            within = f"within broker_timeout ({self._timeout:g} s)"
            names = sorted(missing)
            raise BrokerError(f"these workers have not answered {within}: {', '.join(names)}", workers=names)
        raise BrokerError(overdue(self._store, self._timeout, problem=problem))

    # -- who there is --------------------------------------------------------------------------------------------------

    async def look(self) -> None:
        """Learns who there is, so that it is known when the store forgets it. Raises BrokerError."""
        await self._expected()

    async def _look(self, id: str, answers: dict[str, str]) -> frozenset[str]:
        """Gathers what was answered; whose answers are missing. Asks both at once. Raises BrokerError."""
        found, expected = await asyncio.gather(self._store.answers(self.part, id), self._expected())
        answers.update(found)
        return expected - answers.keys()

    async def _expected(self) -> frozenset[str]:
        """The workers that have to answer: all with a lease but this one. Raises BrokerError."""
        run = self._store.run_at(self.part)
        found = frozenset(await self._store.workers(self.part)) - {self._name}
        if self._store.run_at(self.part) != run:
            raise Unanswered("another run of the store has come meanwhile")
        now = asyncio.get_running_loop().time()
        if run != self._run:
            if self._run:
                self._earlier |= dict.fromkeys(self._workers, now + self._lease)
            self._run = run
        self._workers = found
        self._earlier = {worker: until for worker, until in self._earlier.items() if until > now}
        return found | self._earlier.keys()
