"""What the connections of one proxy share: its rules, its log, its server, and copies on their way."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Any

from .faults import EventKind, Fault, ProxyEvent, RepeatRequest
from .http import BadMessageError, ProxiedRequest, parse_response
from .rule import Counter, Rule
from .tasks import reap
from .wire import Wire


@dataclass
class _Later:
    """A copy that waits until so many more requests have been answered."""

    rule: Rule
    fault: RepeatRequest
    request: ProxiedRequest
    body: bytes
    left: int


class Shared:
    """Held by a proxy and by each of its connections."""

    def __init__(self, backend: tuple[str, int], random: Random | None) -> None:
        self.backend = backend
        self.rules: list[Rule] = []
        self.log: list[ProxyEvent] = []
        self.logged: defaultdict[EventKind, Counter] = defaultdict(Counter)
        self.plugged = True
        self.errors: list[BaseException] = []
        self._random = random
        # Those that may hold a request, in force still or not.
        self._holding: list[Rule] = []
        self._later: list[_Later] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, fault: Fault) -> Rule:
        rule = Rule(fault, self._random, self._remove)
        self.rules.append(rule)
        return rule

    def _remove(self, rule: Rule) -> None:
        if rule in self.rules:
            self.rules.remove(rule)

    def take(self, request: ProxiedRequest) -> list[Rule]:
        """The rules that apply to this request, in the order in which they were added. What a `match` raises is passed
        on, and then none applies."""
        taken: list[Rule] = []
        try:
            for rule in tuple(self.rules):
                if rule._take(request):
                    taken.append(rule)
        except BaseException:
            for rule in taken:
                rule._forget(request)
            raise
        self._holding = [rule for rule in (*self._holding, *taken) if rule._held is not None]
        return taken

    def note(
        self,
        kind: EventKind,
        connection: int = 0,
        request: ProxiedRequest | None = None,
        detail: str = "",
        fault: Fault | None = None,
    ) -> None:
        """Log an event."""
        event = ProxyEvent(kind=kind, connection=connection, request=request, fault=fault, detail=detail)
        self.log.append(event)
        self.logged[kind].add()

    def fire(self, rule: Rule, request: ProxiedRequest) -> None:
        """A rule's fault has acted."""
        self.note("fault", request.connection, request, fault=rule.fault)
        rule._fire()

    async def connect(self) -> Wire:
        """A new connection to the server. Raises OSError."""
        return Wire(*await asyncio.open_connection(*self.backend))

    async def answered(self, request: ProxiedRequest) -> None:
        """The server has answered a request: let go what waited for that."""
        for rule in self._holding:
            rule._answered(request)
        for later in list(self._later):
            if later.fault.applies_to(request):
                later.left -= 1
                if not later.left:
                    self._later.remove(later)
                    await self._copy_patiently(later.rule, later.fault, later.request, later.body)

    async def repeat(self, rule: Rule, fault: RepeatRequest, request: ProxiedRequest, body: bytes) -> None:
        """The server has answered a request that is to be repeated."""
        if fault.after_requests:
            self._later.append(_Later(rule, fault, request, body, fault.after_requests))
        elif fault.after_seconds:
            self.send_copy(request, body, rule, delay=fault.after_seconds)
        else:
            await self._copy_patiently(rule, fault, request, body)

    async def _copy_patiently(self, rule: Rule, fault: RepeatRequest, request: ProxiedRequest, body: bytes) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(fault.patience):
                await self.send_copy(request, body, rule).wait()

    def send_copy(
        self, request: ProxiedRequest, body: bytes, rule: Rule | None = None, delay: float = 0.0
    ) -> asyncio.Event:
        """Send a request on a connection of its own. The event is set when it was answered or lost."""
        answered = asyncio.Event()
        self._spawn(self._copy(request, body, rule, delay, answered))
        return answered

    async def _copy(
        self, request: ProxiedRequest, body: bytes, rule: Rule | None, delay: float, answered: asyncio.Event
    ) -> None:
        await asyncio.sleep(delay)
        status = "lost"
        try:
            if self.plugged:
                wire = await self.connect()
                try:
                    await wire.write(request._head_alone() + body)
                    head = await wire.head()
                    if head is not None:
                        status = str(parse_response(head).status)
                        if rule is not None:
                            self.fire(rule, request)
                    self.note("copy", request.connection, request, status)
                    answered.set()
                    if not request.is_websocket:
                        await wire.discard()
                finally:
                    wire.abort()
                    await wire.closed()
        except (OSError, BadMessageError):
            pass
        finally:
            if not answered.is_set():
                self.note("copy", request.connection, request, status)
                answered.set()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def drop_copies(self) -> None:
        """Forget the copies that are still to be sent, and those on their way."""
        self._later.clear()
        for task in self._tasks:
            task.cancel()

    async def close(self) -> None:
        """End every task."""
        self.drop_copies()
        await reap(*self._tasks)
