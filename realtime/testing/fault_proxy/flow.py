"""Bytes of one exchange on their way, counted and timed for the faults that act in the middle of them."""

from __future__ import annotations

import asyncio
from math import inf
from typing import Literal, TypeAlias

from . import faults
from .faults import Direction, End
from .http import ProxiedRequest
from .link import Link
from .outlet import Outlet
from .rule import Rule
from .shared import Shared
from .tasks import reap
from .wire import Piece, Pieces, Wire

Way: TypeAlias = Literal["to_client", "to_server"]


class _Tally:
    """What may still pass in a direction before a fault fires."""

    def __init__(self, rule: Rule, direction: Direction, size: int | None, writes: int | None) -> None:
        self.rule = rule
        self.fired = False
        self._direction = direction
        self._size = size
        self._writes = writes

    def counts(self, way: Way) -> bool:
        return self._direction in ("both", way)

    @property
    def spent(self) -> bool:
        return self._size == 0 or self._writes == 0

    def allow(self, piece: Piece) -> Piece:
        """As much of the piece as may pass."""
        if self.spent:
            return Piece(b"", False)
        if self._size is not None:
            if len(piece.data) > self._size:
                piece = Piece(piece.data[: self._size], False)
            self._size -= len(piece.data)
        if self._writes is not None and piece.ends_write:
            self._writes -= 1
        return piece


def _tally(rule: Rule) -> _Tally | None:
    match rule.fault:
        case faults.BlackHole(direction=direction, after_bytes=size, after_writes=writes):
            # Without a limit it started when the request arrived.
            return None if size is writes is None else _Tally(rule, direction, size, writes)
        case faults.Cut(after_bytes=size, after_seconds=seconds, after_idle=idle):
            if size is None and (seconds is not None or idle is not None):
                return None
            return _Tally(rule, "to_client", size or 0, None)
        case faults.KillWebSocket(after_frames=frames, sent_by=side):
            return _Tally(rule, "to_client" if side == "server" else "to_server", None, frames)
    return None


class Flow:
    """Counts and times what passes during one exchange, and fires the faults that ask for it."""

    def __init__(self, link: Link, shared: Shared, request: ProxiedRequest, rules: list[Rule]) -> None:
        self._link = link
        self._shared = shared
        self._request = request
        self._rules = rules
        self._tallies = [tally for rule in rules if (tally := _tally(rule)) is not None]
        self._timers: dict[tuple[Rule, bool], asyncio.TimerHandle] = {}
        self._outlets: list[Outlet] = []
        self._late: set[Rule] = set()

    def fire(self, rule: Rule) -> None:
        self._shared.fire(rule, self._request)

    def refused(self) -> None:
        """No WebSocket came of the handshake: what is said instead are no frames of one."""
        self._tallies = [tally for tally in self._tallies if not isinstance(tally.rule.fault, faults.KillWebSocket)]

    def start_timers(self) -> None:
        """Start what counts seconds."""
        for rule in self._rules:
            if isinstance(rule.fault, faults.Cut) and rule.fault.after_seconds is not None:
                self._time(rule, rule.fault.after_seconds, rule.fault.end, idle=False)
        self.touch()

    def touch(self) -> None:
        """Something moved: restart what counts seconds of silence."""
        for rule in self._rules:
            if isinstance(rule.fault, faults.Cut) and rule.fault.after_idle is not None:
                self._time(rule, rule.fault.after_idle, rule.fault.end, idle=True)

    def _time(self, rule: Rule, seconds: float, end: End, *, idle: bool) -> None:
        def cut() -> None:
            self.fire(rule)
            self._link.end(end)

        key = (rule, idle)
        if key in self._timers:
            self._timers[key].cancel()
        self._timers[key] = asyncio.get_running_loop().call_later(seconds, cut)

    def way_out(self, wire: Wire, way: Way) -> Outlet:
        """The way out to a wire, with the lag and hold that faults put on it from now on."""
        lag = hold = 0.0
        late: set[Rule] = set()
        for rule in self._rules:
            match rule.fault:
                case faults.Lag(seconds=seconds, direction=direction) if direction in ("both", way):
                    lag += seconds
                    late.add(rule)
                case faults.HoldResponse(seconds=held) if way == "to_client":
                    hold = max(hold, inf if held is None else held)
                    late.add(rule)
        for rule in self._rules:
            # A lag both ways is one fault.
            if rule in late - self._late:
                self.fire(rule)
        self._late |= late
        outlet = Outlet(wire, lag=lag, hold=hold)
        self._outlets.append(outlet)
        return outlet

    async def pour(self, pieces: Pieces, outlet: Outlet, way: Way) -> End | None:
        """Pass pieces on until there are no more or the sink is gone. How a fault ends the connection."""
        end = await self._spend(outlet, way)
        while end is None and (piece := await pieces.next()) is not None:
            self.touch()
            for tally in self._tallies:
                if tally.counts(way):
                    piece = tally.allow(piece)
            if piece.data and not await outlet.write(piece.data):
                break
            end = await self._spend(outlet, way)
        return end

    async def _spend(self, outlet: Outlet, way: Way) -> End | None:
        """Fire the faults whose tally is used up."""
        for tally in self._tallies:
            if tally.fired or not tally.spent or not tally.counts(way):
                continue
            tally.fired = True
            await outlet.flush()
            fault = tally.rule.fault
            if isinstance(fault, faults.BlackHole):
                self._link.mute(fault.direction)
            self.fire(tally.rule)
            if isinstance(fault, faults.Cut | faults.KillWebSocket):
                return fault.end
        return None

    async def close(self) -> None:
        """Stop the timers; drop what is late."""
        for timer in self._timers.values():
            timer.cancel()
        # All at once: whoever waits here may be cancelled.
        await reap(*(outlet.task for outlet in self._outlets if outlet.task is not None))
