"""Carries out one plan: a server of its own, a proxy in front of it, a page, and in the end the accounts of both.

Nothing here is judged by the clock. The faults last for the plan's seconds; then there is a calm, in which every
session has to come to rest, and in the end every one has to end, each in as much time as a broken program needs to be
called broken.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

import realtime
from realtime.testing import FaultProxy, Rule

from ..engines import Engine
from ..harness import Failure, Harness, serving
from ..steering import Endpoint, Steered, steered
from .ledger import KILLED, Account, Circumstances, judge, make_message, number_of
from .plan import CLIENT_CODE, SENDING, SERVER_CODE, Away, End, Plan, SessionPlan
from .weather import Blow, Spell, is_ours

__all__ = ["Result", "carry_out"]

PATIENCE = 120.0  # seconds in which whatever has to happen happens, however busy the machine is
TICK = 0.1

SETTINGS: dict[str, Any] = {
    "ping_interval": 1.0,
    "ping_timeout": 1.0,
    "poll_interval": (0.05, 0.5),
    "open_timeout": 30.0,  # a browser has few connections: those that hang hold up the first word of another session
    "close_timeout": 60.0,  # a slow handler takes what has come, and is not cancelled
}


@dataclass
class Result:
    """What became of one run."""

    plan: Plan
    faults: Counter[str] = field(default_factory=Counter)
    sessions: int = 0
    messages: int = 0
    """Those that arrived, both ways."""
    visits: Counter[str] = field(default_factory=Counter)
    """To another page and back: what had become of the first one then."""
    violations: list[str] = field(default_factory=list)
    story: list[tuple[float, str]] = field(default_factory=list)
    """What happened, and when."""

    def __str__(self) -> str:
        lines = [f"--seed {self.plan.seed} --only {self.plan.number}: {self.plan.words}"]
        lines += [f"  VIOLATION {violation}" for violation in self.violations]
        lines += [f"  {when:7.2f} {words}" for when, words in sorted(self.story, key=lambda entry: entry[0])]
        return "\n".join(lines)


class Books:
    """The server's end: an endpoint that keeps account of each session."""

    def __init__(self, plan: Plan, tell: Callable[[str], None]) -> None:
        self._plans = {session.name: session for session in plan.sessions}
        self._tell = tell
        self.began = time.monotonic()
        self._handled: set[realtime.Session] = set()  # whose handlers have not come back
        self._gone: set[realtime.Session] = set()  # of a server or a page that is no more
        self._held: dict[str, list[tuple[realtime.Session, Account]]] = {name: [] for name in self._plans}

    async def serve(self, session: realtime.Session) -> None:
        """The handler."""
        name = session.request.query["name"]
        plan = self._plans[name]
        account = Account(opened=True)
        self._held[name].append((session, account))
        self._handled.add(session)
        self._tell(f"server {name}: open over {session.request.transport}")
        session.on_change(lambda event: self._tell(f"server {name}: {event} {session.state} over {session.transport}"))
        sending = asyncio.create_task(self._send(session, plan, account))
        try:
            async for message in session:
                account.received.append(number_of(f"{name}^", message, account.problems))
                if plan.lazy:
                    await asyncio.sleep(plan.lazy)
            await session.wait_closed()
        finally:
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await sending
            self._handled.discard(session)

    async def _send(self, session: realtime.Session, plan: SessionPlan, account: Account) -> None:
        early = plan.early if plan.closer == "server" else None
        try:
            for number, send in enumerate(plan.down, 1):
                if early is not None and early < send.at:
                    break
                await self._until(send.at)
                await session.send(make_message(f"{plan.name}v", number, send.size, binary=send.binary))
                account.sent.append(number)
            if early is not None:
                await self._until(early)
                await self.close(plan.name)
        except realtime.SessionClosed:
            return

    async def _until(self, at: float) -> None:
        await asyncio.sleep(self.began + at - time.monotonic())

    async def close(self, name: str) -> None:
        """The server's application closes a session."""
        for session, account in self._held[name]:
            if session.state in ("open", "detached") and session not in self._gone:
                account.asked = True
                self._tell(f"server {name}: close({SERVER_CODE})")
                await session.close(SERVER_CODE, "as planned")

    def at_rest(self, name: str, sent: int, received: int) -> bool:
        """Whether everything has arrived both ways, the client having sent and received so many."""
        plan = self._plans[name]
        return any(
            len(account.sent) == len(plan.down) == received and len(account.received) == sent
            for _, account in self._held[name]
        )

    def all_closed(self) -> bool:
        """Whether every session has ended, and its handler has taken all that came."""
        held = {session for held in self._held.values() for session, _ in held}
        return not self._handled - self._gone and all(session.closed for session in held - self._gone)

    def abandon(self) -> None:
        """The sessions so far are of a server or a page that is no more. Nobody waits for their ends."""
        self._gone = {session for held in self._held.values() for session, _ in held if not session.closed}

    def gone_quiet(self) -> bool:
        """Whether the handlers of those have taken all that their server has acknowledged."""
        return all(session.closed or not len(session._machine.inbox) for session in self._gone)

    def anew(self, name: str) -> bool:
        """Whether this client has a session of the server that is there now."""
        return any(session not in self._gone for session, _ in self._held[name])

    def sessions(self, name: str) -> list[realtime.Session]:
        """Those that this client has had."""
        return [session for session, _ in self._held[name]]

    def accounts(self, name: str) -> list[Account]:
        """How the sessions of this client stand now."""
        for session, account in self._held[name]:
            account.code, account.reason = session.close_code, session.close_reason or ""
            if session in self._gone:
                account.code, account.reason = KILLED, ""
            account.clean = account.code in (CLIENT_CODE, SERVER_CODE, 1012)
            unheard: list[str] = []
            account.unacknowledged = [number_of(f"{name}v", message, unheard) for message in session.unacknowledged]
            account.problems += unheard
        return [account for _, account in self._held[name]]


class Killable(Endpoint):
    """A server of the sessions alone, for a run in which it is killed and another one comes."""

    def __init__(self, books: Books, origin: str, **settings: Any) -> None:
        super().__init__(origin, **settings)
        self._books = books

    def application(self) -> web.Application:
        """That of a new server."""
        app = super().application()
        self.server.endpoint("/books")(self._books.serve)
        return app


async def carry_out(plan: Plan, engine: Engine) -> Result:
    """One run in a fresh page. Raises EngineError when the browser itself fails."""
    run = _Run(plan)
    try:
        async with run.up(engine):
            await run.play()
    except Failure as failure:
        run.result.violations.append(f"page: {failure}")
    return run.result


class _Run:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.result = Result(plan, sessions=len(plan.sessions))
        self.books = Books(plan, self.tell)
        self.page: Steered
        self.proxy: FaultProxy
        self._harness: Harness
        self._server: Killable | None = None
        self._left: dict[str, Any] | None = None
        """How the page was left, if it was: see campaign.js."""
        self._began = time.monotonic()
        self._distance = [spell.fault for spell in plan.weather.distance]
        self._seen = 0  # of the proxy's log
        self._blown: Counter[str] = Counter()

    def tell(self, words: str) -> None:
        """A line of the story."""
        self.result.story.append((time.monotonic() - self._began, words))

    @contextlib.asynccontextmanager
    async def up(self, engine: Engine) -> AsyncIterator[None]:
        """The server, the proxy and the page."""
        settings = {**SETTINGS, "resume_window": self.plan.resume_window}
        if self.plan.weather.fair:
            # No fault excuses that a peer is taken for gone, and a machine that stands still for a second is none.
            settings["ping_timeout"] = 60.0
        async with contextlib.AsyncExitStack() as stack:
            self._harness = harness = await stack.enter_async_context(serving(allowed_origins="*", **settings))
            harness.server.endpoint("/books")(self.books.serve)
            url = harness.pages
            if self.plan.end == "restart":
                self._server = await stack.enter_async_context(Killable(self.books, harness.pages, **settings))
                url = self._server.url
            address = urlsplit(url)
            assert address.hostname is not None
            assert address.port is not None
            self.proxy = await stack.enter_async_context(FaultProxy(address.hostname, address.port))
            pages = harness.pages if self.plan.cross else self.proxy.url
            # What is not to be seen is not kept either.
            shown = self.plan.away is not None
            self.page = await stack.enter_async_context(steered(engine, harness, pages, window=shown))
            yield

    async def play(self) -> None:
        """All of it, into the result."""
        watching = asyncio.create_task(self._watch())
        try:
            await self._storm()
            accounts = await self._end()
            self._judge(accounts)
            # What is no script where one was asked for is an error of the page's that nobody can catch. Of a script of
            # another origin, which is nothing else here, some engines tell no more than that it was one.
            errors = [error for error in await self.page.do("pageErrors") if "/v1/jsonp?" not in error]
            if self.plan.cross:
                errors = [error for error in errors if error != "Script error. (:0)"]
            self.result.violations += [f"page: {error}" for error in errors]
        except Failure:
            await self.page.do("true")  # or the browser is gone, and nobody broke a promise
            raise
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching
        self._read_proxy()
        self.result.faults.update(self._blown)

    # -- the weather ---------------------------------------------------------------------------------------------------

    async def _storm(self) -> None:
        """The sessions open, talk, and have it bad."""
        weather = self.plan.weather
        self._began = self.books.began = time.monotonic()
        for spell in weather.distance:
            self._begin(spell)
        async with asyncio.TaskGroup() as group:
            for spell in weather.spells:
                group.create_task(self._last(spell))
            for blow in weather.blows:
                group.create_task(self._strike(blow))
            await self.page.do("campaign.start(%s)", [self._for_page(session) for session in self.plan.sessions])
            if self.plan.away is not None:
                group.create_task(self._go_away(self.plan.away))
            await self._until(SENDING)
        if weather.wipes:
            self.proxy.cut()
        self.tell("proxy: calm" + (", all connections cut" if weather.wipes else ""))

    async def _until(self, at: float) -> None:
        # Also when it is due: whoever was started before comes first.
        await asyncio.sleep(max(0.0, self._began + at - time.monotonic()))

    def _begin(self, spell: Spell) -> Rule:
        self.tell(f"proxy: rule {spell.words}")
        return self.proxy.add(spell.fault)

    async def _last(self, spell: Spell) -> None:
        """A rule for as long as it is in force."""
        await self._until(spell.at)
        rule = self._begin(spell)
        await self._until(spell.until)
        rule.remove()

    async def _strike(self, blow: Blow) -> None:
        await self._until(blow.at)
        self.tell(f"proxy: {blow.kind}" + (f" for {blow.seconds:.1f} s" if "cut" not in blow.kind else ""))
        self._blown[blow.kind] += self.proxy.connections
        if blow.kind in ("unplug", "gone"):
            self.proxy.unplug(refuse=blow.kind == "gone")
        if blow.kind != "unplug":
            self.proxy.cut(rst=blow.kind != "cut-fin")
        if blow.kind in ("unplug", "gone"):
            await asyncio.sleep(blow.seconds)
            self.proxy.plug()

    async def _go_away(self, away: Away) -> None:
        """To another page, and back: to the very same, if the browser has kept it, or to one that is loaded anew."""
        await self._until(away.at)
        self.tell("page: away")
        self._blown["away"] += 1
        await self.page.page.visit("/blank.html")
        await self.page.until("document.title === 'blank' && typeof campaign === 'undefined'")
        await self._until(away.until)
        await self.page.page.back()
        await self.page.until("typeof campaign === 'object'")
        became = "kept"
        if not await self._standing():
            self._left = json.loads(await self.page.do("campaign.before()"))
            became = "thrown away" if self._left["kept"] else "left"
        self.result.visits[became] += 1
        self.tell(f"page: back; it was {became}")

    def _for_page(self, session: SessionPlan) -> dict[str, Any]:
        """A session's plan as campaign.js reads it, in milliseconds."""
        options = dict(session.options)
        if session.transports:
            options["transports"] = list(session.transports)
        early = session.early if session.closer == "client" else None
        return {
            "name": session.name,
            "url": f"{self.proxy.url}/realtime/books?name={session.name}",
            "options": options,
            "sends": [[round(send.at * 1000), send.size, send.binary] for send in session.up],
            "close": None if early is None else [round(early * 1000), CLIENT_CODE],
        }

    # -- the end -------------------------------------------------------------------------------------------------------

    async def _end(self) -> dict[str, Any]:
        """The calm, and the end of all sessions. The page's accounts."""
        end = self.plan.end
        if self._left is not None:
            return await self._page_left()
        if end == "restart":
            await self._restart()
        if end == "outage":
            self.tell("proxy: outage")
            self._blown["outage"] += self.proxy.connections
            self.proxy.unplug(refuse=self.plan.number % 2 == 0)
            await self._wait(self._known_ended)
            self.proxy.plug()
            self.tell("proxy: plugged")
        if not await self._wait(self._at_rest):
            standing = json.dumps(await self._standing())
            self.result.violations.append(f"stuck: in the calm not everything came across, or never ended: {standing}")
        self.tell(f"the end: {end}")
        if end == "leave":
            await self.page.page.reload()
            text = await self.page.until("typeof campaign === 'object' && campaign.before()", timeout=PATIENCE)
            self._left = json.loads(text)
            return await self._page_left()
        if end == "drain":
            await self._harness.server.drain(timeout=PATIENCE, delay=0.0)
        else:
            for session in self.plan.sessions:
                if session.closer == "client":
                    await self.page.do("void campaign.close(%s, %s)", session.name, CLIENT_CODE)
            closing = (self.books.close(session.name) for session in self.plan.sessions if session.closer == "server")
            await asyncio.gather(*closing)
        await self._wait(self._all_ended)
        return dict(json.loads(await self.page.do("campaign.report()")))

    async def _restart(self) -> None:
        """The server is killed, and another one comes. Whoever had a session of the first is told that it is gone."""
        assert self._server is not None
        self.tell("server: killed")
        self._blown["restart"] += self.proxy.connections
        await self._server.vanish()
        self.books.abandon()
        await asyncio.sleep(self.plan.gap)
        await self._server.start()
        self.tell("server: another one")
        await self._wait(self._told_of_restart)

    async def _page_left(self) -> dict[str, Any]:
        """The accounts that the page left when it went. One that was to be kept, and was thrown away later, could not
        be told of any end, and tells the server of none."""
        assert self._left is not None
        if self._left["kept"]:
            self.books.abandon()
        await self._wait(self._server_ended)
        accounts = dict(json.loads(self._left["accounts"]))
        for told in accounts.values():
            if self._left["kept"] and not told["close"]:
                told["close"] = {"code": 1001, "unacknowledged": told["sent"]}
        return accounts

    async def _wait(self, condition: Callable[[], Awaitable[bool]]) -> bool:
        """Until it holds, or until nobody believes that it ever will. Whether it does. In the end the accounts say what
        is wrong."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while True:
                    if await condition():
                        return True
                    await asyncio.sleep(TICK)
        return False

    async def _standing(self) -> dict[str, Any]:
        return dict(json.loads(await self.page.do("campaign.standing()")))

    async def _at_rest(self) -> bool:
        """Every session has ended, or has brought everything across."""
        return all(
            closed or (done and self.books.at_rest(name, sent, received))
            for name, (sent, received, done, _, closed) in (await self._standing()).items()
        )

    async def _known_ended(self) -> bool:
        """Every session has ended of which the page has heard. Who is opening one may go on with that."""
        standing = (await self._standing()).values()
        return self.books.all_closed() and all(closed for *_, opened, closed in standing if opened)

    async def _told_of_restart(self) -> bool:
        """Every session of the old server has ended for its client. Who was opening one may go on with that."""
        standing = (await self._standing()).items()
        return self.books.gone_quiet() and all(
            closed or not opened or self.books.anew(name) for name, (*_, opened, closed) in standing
        )

    async def _server_ended(self) -> bool:
        return self.books.all_closed()

    async def _all_ended(self) -> bool:
        return self.books.all_closed() and all(closed for *_, closed in (await self._standing()).values())

    # -- what happened -------------------------------------------------------------------------------------------------

    def _judge(self, accounts: dict[str, Any]) -> None:
        end: End = self.plan.end if self._left is None else "leave"
        around = Circumstances(end, self.plan.weather.fair, brief=self.plan.end == "outage")
        for name, told in accounts.items():
            client = _client(told)
            servers = self.books.accounts(name)
            self.result.messages += len(client.received) + sum(len(server.received) for server in servers)
            for sentence in judge(client, servers, around):
                self.result.violations.append(f"{name}: {sentence}")
            self.result.story += [(when / 1000, f"client {name}: {words}") for when, words in told["events"]]
            standing = f"{told['state']} over {told['transport'] or 'nothing'}, {told['owed']} unacknowledged"
            self.tell(f"client {name}: in the end {standing}")
            for session in self.books.sessions(name):
                self.tell(f"server {name}: in the end {session!r} {session.close_code} {session.close_reason}")

    async def _watch(self) -> None:
        while True:
            self._read_proxy()
            await asyncio.sleep(TICK / 2)

    def _read_proxy(self) -> None:
        log = self.proxy.log
        for event in log[self._seen :]:
            if event.request is None or not is_ours(event.request):
                continue
            where = f"{event.request.method} {event.request.path.rpartition('/')[2]}"
            where += f" {event.request.query.partition('&')[0]} on {event.connection}"
            if event.kind == "fault":
                if event.fault not in self._distance:
                    self.result.faults[type(event.fault).__name__] += 1
                self.tell(f"proxy: {type(event.fault).__name__} strikes {where}")
            elif event.kind in ("request", "answered"):
                self.tell(f"proxy: {event.kind} {event.detail} {where}")
        self._seen = len(log)


def _client(told: dict[str, Any]) -> Account:
    """The account of a page's session, as campaign.js reports it."""
    close = told["close"] or {}
    return Account(
        sent=told["sent"],
        received=told["received"],
        problems=told["problems"],
        opened=told["opened"],
        asked=told["asked"] is not None,
        code=close.get("code"),
        reason=close.get("reason", ""),
        clean=close.get("clean", False),
        unacknowledged=close.get("unacknowledged", []),
    )
