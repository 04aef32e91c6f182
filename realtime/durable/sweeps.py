"""What a worker does for durable sessions without being asked: it reads what was left for it, compares what it has with
a store that has begun anew, and looks after sessions that nobody has (docs/protocol.md §13.2).
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from typing import Protocol

from ..brokers.base import Records, Store, Unreadable
from ..brokers.excuses import EXCUSED, excuse
from ..core.durable.changes import Context, Ended, Published
from ..core.durable.opening import Opening
from ..core.durable.owner import Outcome, Owner, Write
from ..core.durable.record import Record, Stage
from ..core.durable.takeover import NOBODY, Notice, Orphan, abandoned, orphan, unclaimed, unfinished
from ..core.errors import BrokerError, Refusal
from ..core.leases import Gone, Later, Peer
from ..endpoint import Endpoint
from ..loops import Tasks, ends
from ..sessions import Sessions
from .holding import Holding, unused_id
from .publishes import FRESH, MOST_PAUSE, PAUSE, publish
from .served import Served

__all__ = ["Sweeps"]

log: logging.Logger = logging.getLogger("realtime.server")

BEAT = 2.5  # seconds between two looks at what was left for this worker
SWEEP = 5.0  # and at the sessions that are due
RARE = 60.0  # where this worker has no durable endpoint, as long as none was due
MOST = 64  # of those, in each part of the store
RENEWALS = 4  # so often, while it is idle, a session is renewed before it is due
LATER = 10.0  # seconds after which one is due again of which nobody can say anything now


class Keeping(Protocol):
    """What is swept for."""

    records: Records
    sessions: Sessions
    served: Served
    holdings: dict[str, Holding]
    leaving: bool

    @property
    def reachable(self) -> bool:
        """Whether others could bring requests for what is here."""

    @property
    def alone(self) -> bool:
        """Whether this worker is in no cluster."""

    @property
    def name(self) -> str:
        """What records name this worker by."""

    async def whose(self, record: Record) -> Peer | Gone | Later:
        """Who has a session."""

    async def adopt(self, sid: str, record: Record) -> None:
        """Takes over what nobody asks for. Raises Refusal."""


class Sweeps:
    """See above. start() and stop() are its life."""

    beat: float = BEAT
    pause: float = SWEEP
    rare: float = RARE

    def __init__(self, keeper: Keeping, store: Store) -> None:
        self._keeper = keeper
        self._store = store
        self._tasks = Tasks("durable sessions", log)
        self._runs: set[str] = set()
        self._last: set[asyncio.Task[None]] = set()  # publishes of sessions that have ended here
        self._buried: OrderedDict[str, tuple[Owner, Endpoint, float]] = OrderedDict()  # until when

    def start(self) -> None:
        """Begins. A worker without a durable endpoint, of a cluster in which there may be none any more, looks now and
        then what such an endpoint has left. (One that is alone could not tell what others have.)"""
        if self._keeper.served:
            self._tasks.keep_up(self._beats)
            self._tasks.keep_up(partial(self._sweeps, self.pause))
        elif not self._keeper.alone:
            self._tasks.keep_up(partial(self._sweeps, self.rare))

    async def stop(self) -> None:
        """Ends."""
        await self._tasks.end()

    async def finished(self, until: float) -> None:
        """Waits, up to this time of the loop, until all is published of sessions that have ended here."""
        if self._last:
            await asyncio.wait(self._last, timeout=max(0.0, until - asyncio.get_running_loop().time()))

    # -- notices -------------------------------------------------------------------------------------------------------

    async def _beats(self) -> None:
        while True:
            await asyncio.sleep(self.beat)
            with suppress(BrokerError):
                await self.look()
                await self.renew()

    async def look(self) -> None:
        """Reads what was left for this worker where its sessions are, and lets go of those that others have. Raises
        BrokerError."""
        records, holdings = self._keeper.records, self._keeper.holdings
        for part in {records.home(sid) for sid in holdings}:
            notices = await records.notices(part, self._keeper.name)
            for notice in notices:
                holding = holdings.get(notice.session)
                if holding is not None and notice.concerns(holding.owner.tenure.id):
                    holding.cut()
            if notices:
                await records.noticed(part, self._keeper.name, notices)

    async def renew(self) -> None:
        """Where no directory says which workers live, what is never due has one. Raises BrokerError."""
        if self._keeper.alone:
            now = asyncio.get_running_loop().time()
            for sid, holding in tuple(self._keeper.holdings.items()):
                life = self._keeper.served.life(holding.endpoint)
                if now - holding.renewed >= life / RENEWALS:
                    await self._keeper.records.postpone(sid, life)
                    holding.renewed = now

    # -- a store that has begun anew -----------------------------------------------------------------------------------

    def bury(self, holding: Holding) -> None:
        """A session has ended here: if the store goes back, that is written again."""
        life = self._keeper.served.life(holding.endpoint)
        now = asyncio.get_running_loop().time()
        self._buried[holding.sid] = holding.owner, holding.endpoint, now + life
        while self._buried and next(iter(self._buried.values()))[2] <= now:
            self._buried.popitem(last=False)
        if holding.owner.record.publishes:
            task = self._tasks.begin(self._publish_last(holding.sid, holding.owner, life, holding.confirmed + FRESH))
            self._last.add(task)
            task.add_done_callback(self._last.discard)

    def returned(self, run: str) -> None:
        """A run of the store answers. What is here is compared with another one than the first at once: it may be the
        last that this worker does."""
        if run not in self._runs:
            self._runs.add(run)
            self._tasks.begin(self._compare(run))

    async def _compare(self, run: str) -> None:
        for sid, holding in tuple(self._keeper.holdings.items()):
            if self._store.run_at(self._keeper.records.home(sid)) == run:
                with EXCUSED:
                    holding.compare(await self._keeper.records.id(sid))
        for sid, (owner, endpoint, _) in tuple(self._buried.items()):
            if self._store.run_at(self._keeper.records.home(sid)) == run:
                with EXCUSED:
                    await self._write_over(sid, owner, self._keeper.served.life(endpoint))

    async def _write_over(self, sid: str, owner: Owner, life: float) -> None:
        found = await self._keeper.records.id(sid)
        if owner.compare(found) is Outcome.BEHIND:
            write = owner.write(unused_id())
            due = self._keeper.served.due(life, write.record)
            while owner.answered(await self._keeper.records.put(sid, write, due)) is Outcome.BEHIND:
                write = owner.again()

    # -- sessions that nobody has --------------------------------------------------------------------------------------

    async def _sweeps(self, idle: float) -> None:
        pause = idle
        while True:
            await asyncio.sleep(pause * random.uniform(0.75, 1.25))  # no secret
            pause = idle
            for part in range(self._store.parts):
                with suppress(BrokerError):
                    due = await self._keeper.records.due(part, MOST, self._keeper.served.longest + LATER)
                    if due:
                        pause = self.pause
                    await self.sweep(due)

    async def sweep(self, due: Iterable[str]) -> None:
        """Looks at sessions that are due. Raises BrokerError."""
        for sid in due:
            if self._keeper.leaving:
                return
            try:
                with suppress(Refusal):
                    await self._look_after(sid)
            except BaseException as error:  # of this one: others are behind it, which are due as well
                if ends(error) or isinstance(error, BrokerError):
                    raise
                log.exception("a durable session could not be looked after, and is looked at again later")
                await self._keeper.records.postpone(sid, LATER)

    async def _look_after(self, sid: str) -> None:
        records = self._keeper.records
        holding = self._keeper.holdings.get(sid)
        if holding is not None:
            life = self._keeper.served.life(holding.endpoint)
            await records.postpone(sid, self._keeper.served.due(life, holding.owner.record))
            return
        asked = asyncio.get_running_loop().time()
        try:
            sight = await records.load(sid)
        except Unreadable as error:
            log.warning("! a worker of another version may go on with a durable session: %s", error)
            await records.postpone(sid, LATER)
            return
        if sight is None:  # and it is due no more, or it would be in front of others for ever
            await records.postpone(sid, LATER)
            return
        record = sight.record
        try:
            opening = Opening.read(record.opening)
        except ValueError:
            await records.postpone(sid, LATER)  # other workers may know what it says
            return
        endpoint = self._keeper.served.endpoint(opening)
        life = opening.life if endpoint is None else self._keeper.served.life(endpoint)
        if record.stage is Stage.ENDED:
            await self._publish_found(sid, record, life, asked + FRESH)
            return
        owner = await self._keeper.whose(record)
        if owner is Later.LATER:
            await records.postpone(sid, SWEEP if unfinished(record) else LATER)
            return
        if not isinstance(owner, Gone):
            await records.postpone(sid, self._keeper.served.due(life, record))
            return
        what = orphan(record, sight.idle, life)
        if what is Orphan.TAKE and endpoint is None:  # other workers may serve it, for as long as its client may come
            what = Orphan.END if sight.idle > life else Orphan.LEAVE
        if what is not Orphan.TAKE and record.publishes and record.owner != self._keeper.name:
            found = await self._publish_found(sid, record, life, asked + FRESH)
            if found is None:
                return
            record = found
        if what is Orphan.TAKE or (record.owner == self._keeper.name and endpoint is not None):
            if not self._keeper.reachable:
                await records.postpone(sid, LATER)
                return
            await self._keeper.adopt(sid, record)  # a takeover of its own may have come to nothing here
        elif record.owner not in ("", NOBODY):
            # It may live, and have nothing to write by which it would notice, while its client is there.
            notice = Notice(sid, record.tenure.id)
            await self._write(sid, record, abandoned(record, unused_id()), life, notice, record.owner)
        elif what is Orphan.END:
            new = abandoned(record, unused_id())
            await self._write(sid, record, Ended(unclaimed(record)).apply(new, Context()), life)
        else:
            await records.postpone(sid, SWEEP if unfinished(record) else max(life - sight.idle, 0.0) + 1.0)

    # -- publishes that nobody is at -----------------------------------------------------------------------------------

    async def _publish_found(self, sid: str, record: Record, life: float, until: float) -> Record | None:
        """Publishes what nobody has published of a session that nobody has. Its record behind that; None where that
        comes to nothing, for now or because of another worker. Raises BrokerError."""
        owner = Owner(record)
        try:
            await self._publish(owner, life, until)
        except BrokerError:
            await self._keeper.records.postpone(sid, LATER)
            return None
        found = await self._keeper.records.put(sid, owner.again(), life)
        return owner.record if owner.answered(found) is Outcome.STORED else None

    async def _publish_last(self, sid: str, owner: Owner, life: float, until: float) -> None:
        """The same of a session that has ended here. What comes to nothing is due later, at any worker."""
        loop, pause = asyncio.get_running_loop(), PAUSE
        published = False
        while loop.time() < until:
            try:
                if not published:
                    await self._publish(owner, life, until)
                    published = True
                if owner.answered(await self._keeper.records.put(sid, owner.again(), life)) is not Outcome.BEHIND:
                    return
            except BaseException as error:
                if ends(error):
                    raise
                if pause == PAUSE:
                    excuse(error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, MOST_PAUSE)

    async def _publish(self, owner: Owner, life: float, until: float) -> None:
        """All of one session, and makes the write that says so. Raises BrokerError."""
        publishes = owner.record.publishes
        for one in publishes:
            await publish(self._keeper.sessions.hub, one, life, until)
        owner.change(Published(frozenset(one.id for one in publishes)))
        owner.write(unused_id())

    async def _write(
        self, sid: str, record: Record, new: Record, life: float, notice: Notice | None = None, to: str = ""
    ) -> None:
        """Unless another worker has written something."""
        await self._keeper.records.put(sid, Write(record.id, new), self._keeper.served.due(life, new), notice, to)
