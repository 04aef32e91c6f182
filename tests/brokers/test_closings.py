"""Closings of identities over a broker that loses, delays, answers late or never, and forgets: randomised.

Users log in and are closed at three workers, all the time. Whoever was let in before a closing is gone when it has
returned, at every worker; nobody is locked out, or put out by a closing that had returned before.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import NamedTuple

import pytest

import realtime
from realtime import BrokerError, Refusal
from realtime.brokers.identities import Identities
from realtime.brokers.rooms import Rooms, Timing
from realtime.core.frames import Window

from ..patience import eventually
from .servers import BROKER_TIMEOUT
from .test_lossy import Chaos, LossyStore

TIMING = Timing(30.0, 0.1)
FAULTS = 100  # log-ins and closings among them
NAMES = ("ada", "bob")


class Login(NamedTuple):
    """A session, and when the application began to ask who it is."""

    began: int
    session: realtime.Session


class Closing(NamedTuple):
    """When it began, and when it returned; None if it has not confirmed that all workers did it."""

    name: str
    began: int
    returned: int | None


class Worker:
    """A server without a network."""

    def __init__(self, chaos: Chaos) -> None:
        self.rt = realtime.Server(shutdown_timeout=0.1)
        self.rt.endpoint("/x")(realtime.Session.wait_closed)
        service = self.service = self.rt._service
        hub = service.sessions.hub
        hub.shared = Rooms(LossyStore(chaos), hub, 2.0, TIMING)
        self.shared = service.sessions.shared = Identities(hub.shared, service.identities, 2.0, TIMING)

    async def start(self) -> None:
        self.service.start()
        assert self.service.sessions.hub.shared is not None
        await self.service.sessions.hub.shared.start()
        self.shared.start()


class Play:
    """Workers, and their users. What happens is numbered."""

    def __init__(self, seed: int) -> None:
        self.chaos = Chaos(seed)
        self.random = self.chaos.random
        self.workers = [Worker(self.chaos) for _ in range(3)]
        self.logins: list[tuple[str, Login]] = []
        self.closings: list[Closing] = []
        self.early: list[str] = []  # closings that returned before they were done everywhere
        self._numbers = itertools.count(1)

    async def log_in(self, worker: Worker, name: str, thinking: float) -> bool:
        """A user comes, and the application takes its time; whether they were let in."""
        service, request = worker.service, realtime.SessionRequest()
        service.admission.arrived(request)
        began = next(self._numbers)
        await asyncio.sleep(thinking)
        try:
            session = await service.sessions.open(
                service.endpoints["/x"],
                nonce=f"{began:022}",
                binding=None,
                window=Window(1, 1),
                identity=name,
                request=request,
            )
        except Refusal:
            return False
        for closing in self.closings:
            if closing.name == name and closing.returned and began < closing.began:
                self.early.append(f"{name} came in behind a closing, although asked about before it")
        self.logins.append((name, Login(began, session)))
        return True

    async def close(self, worker: Worker, name: str) -> None:
        began = next(self._numbers)
        try:
            await worker.rt.identity(name).close()
        except BrokerError:
            self.closings.append(Closing(name, began, None))
            return
        alive = [login for who, login in self.logins if who == name and not login.session.closed]
        if any(login.began < began for login in alive):
            self.early.append(f"{name} was there when a closing had returned")
        self.closings.append(Closing(name, began, next(self._numbers)))

    async def faults(self) -> None:
        chaos = self.chaos
        for _ in range(FAULTS):
            await asyncio.sleep(self.random.random() * 0.02)
            what = self.random.choice(("login",) * 8 + ("close",) * 4 + ("save", "failover", "forget", "away", "cut"))
            worker, name = self.random.choice(self.workers), self.random.choice(NAMES)
            if what == "login":
                self.do(self.log_in(worker, name, self.random.choice((0.0, 0.01, 0.1))))
            elif what == "close":
                self.do(self.close(worker, name))
            elif what == "save":
                chaos.save()
            elif what == "failover":
                chaos.fail_over()
            elif what == "forget":
                chaos.broker._leases.clear()
                chaos.fail_over()
            else:
                store = self.random.choice(chaos.stores)
                store.away = what == "away"
                store.reconnect()
                if store.away:
                    self.do(self._back(store))

    def do(self, coroutine: object) -> None:
        self.tasks.append(asyncio.create_task(coroutine))  # type: ignore[arg-type] # they are of different results

    async def _back(self, store: LossyStore) -> None:
        await asyncio.sleep(self.random.random() * 0.2)
        store.away = False
        store.reconnect()

    async def run(self) -> None:
        chaos = self.chaos
        self.tasks: list[asyncio.Task[object]] = []
        chaos.adverse = False
        for worker in self.workers:
            await worker.start()
        await eventually(lambda: len(chaos.broker._leases) == 3)
        for worker in self.workers:
            await worker.shared._asking.look()
        chaos.save()
        chaos.adverse = True
        await self.faults()
        await asyncio.gather(*self.tasks)
        chaos.adverse = False
        for store in chaos.stores:
            store.reconnect()
        await self._told()
        self.judge()
        for worker, name in zip(self.workers, NAMES, strict=False):
            worker.shared._asking._timeout = BROKER_TIMEOUT
            await self.close(worker, name)
            assert self.closings[-1].returned, "nothing is lost any more, and not everybody has confirmed"
        self.judge()
        later = [await self.log_in(worker, name, 0.0) for worker in self.workers for name in NAMES]
        assert all(later), "somebody is locked out"
        chaos.fail_over()  # what was told is told again
        await self._told()
        self.judge()
        assert sum(not login.session.closed for _, login in self.logins) >= len(later)
        for worker in self.workers:
            await worker.service.shutdown()

    async def _told(self) -> None:
        """Until all that is told is confirmed."""
        await eventually(lambda: all(self._has_told(worker) for worker in self.workers))

    def _has_told(self, worker: Worker) -> bool:
        asking = worker.shared._asking
        return not asking._telling and all(telling.run == self.chaos.name for telling in asking._told.values())

    def judge(self) -> None:
        assert not self.early, self.early
        for name, login in self.logins:
            mine = [closing for closing in self.closings if closing.name == name]
            if any(login.began < closing.began for closing in mine):
                assert login.session.closed, f"{name} survived a closing"
            if login.session.closed:
                blamed = [one for one in mine if one.returned is None or login.began < one.returned]
                assert blamed, f"{name} was put out by a closing that had returned before"


@pytest.mark.parametrize("seed", range(5))
async def test_a_closing_is_for_all_who_were_there_and_for_nobody_else(seed: int) -> None:
    play = Play(seed)
    await play.run()
    assert len(play.closings) > 10
    assert len(play.logins) > 10
