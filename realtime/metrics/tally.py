"""Counts what a server tells of itself. Knows neither prometheus-client nor aiohttp.

What a session counts stands in its machine; when it ends that is added to the sums here. A scrape adds the live ones.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from threading import Lock

from ..core.config import OnFull
from ..core.machine import SessionMachine
from ..core.observer import Cause, Result
from ..transports import ALL_TRANSPORTS

__all__ = ["END_CODES", "POLICIES", "REFUSAL_CODES", "Histogram", "Sums", "Tally", "code_label", "transport_label"]

POLICIES: tuple[OnFull, ...] = ("wait", "drop_oldest", "close")
# docs/protocol.md §9. 4411 is a client's own affair, and never seen by a server.
END_CODES = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1011, 1012, 1013, 4408, 4410, 4412, 4414)
REFUSAL_CODES = (4400, 4401, 4403, 4404, 4405, 4406, 4408, 4409, 4413, 4429, 4503)
KNOWN_CODES = frozenset(END_CODES + REFUSAL_CODES)

# Upper bounds of the buckets, in seconds.
FLUSH_BOUNDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
HANDLER_BOUNDS = (0.1, 1.0, 10.0, 60.0, 300.0, 1800.0, 3600.0, 14_400.0, 86_400.0)


def code_label(code: int) -> str:
    """A code as a label: itself where the protocol gives it a meaning, else "application" (3000–4999) or "other"."""
    if code in KNOWN_CODES:
        return str(code)
    return "application" if 3000 <= code <= 4999 else "other"


def transport_label(name: str) -> str:
    """A transport as a label: its name, "none" before the first carrier, "other" for what this server has not got."""
    return name if name in ALL_TRANSPORTS else "other" if name else "none"


class Histogram:
    """Observations by bucket."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds: tuple[float, ...] = bounds
        self.counts: list[int] = [0] * (len(bounds) + 1)  # the last is for what is above all bounds
        self.total: float = 0.0  # the sum of what was observed

    def observe(self, value: float) -> None:
        """Counts one. A bucket includes its bound."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class Sums:
    """What sessions count, added up."""

    __slots__ = ("bytes_in", "bytes_out", "drops", "duplicates", "messages_in", "messages_out", "replays")

    def __init__(self) -> None:
        self.messages_in: int = 0
        self.bytes_in: int = 0
        self.messages_out: int = 0
        self.bytes_out: int = 0
        self.replays: int = 0
        self.duplicates: int = 0
        self.drops: Counter[str] = Counter()  # by policy

    def add(self, machine: SessionMachine) -> None:
        """Adds what one session has counted so far."""
        inbox, outbox = machine.inbox, machine.outbox
        self.messages_in += inbox.messages
        self.bytes_in += inbox.total
        self.messages_out += outbox.messages
        self.bytes_out += outbox.total
        self.replays += outbox.replayed
        self.duplicates += machine.duplicates
        if outbox.dropped:
            self.drops[machine.config.on_full] += outbox.dropped

    def copy(self) -> Sums:
        """The same sums, to add to."""
        other = Sums()
        for name in self.__slots__:
            setattr(other, name, getattr(self, name))
        other.drops = self.drops.copy()
        return other


class Tally:
    """The Observer (core.observer) of one server."""

    def __init__(self, live: Iterable[SessionMachine] = ()) -> None:
        self.opens: Counter[str] = Counter()  # by transport
        self.attaches: Counter[tuple[str, str]] = Counter()  # by transport and cause
        self.changes: Counter[tuple[str, str, str]] = Counter()  # by the transports before and after, and reason
        self.refusals: Counter[str] = Counter()  # by code
        self.ends: Counter[str] = Counter()  # by code
        self.flushes: Histogram = Histogram(FLUSH_BOUNDS)
        self.handlers: dict[Result, Histogram] = {result: Histogram(HANDLER_BOUNDS) for result in Result}
        # A scrape may come from another thread, and must not see a session in both or in neither of these.
        self._lock = Lock()
        self._live = set(live)
        self._gone = Sums()

    def opened(self, machine: SessionMachine, transport: str) -> None:
        """Counts an open."""
        self.opens[transport_label(transport)] += 1
        with self._lock:
            self._live.add(machine)

    def attached(self, machine: SessionMachine, cause: Cause, before: str, after: str, lost: bool) -> None:
        """Counts a carrier, and the change of transport if it is one."""
        label = transport_label(after)
        self.attaches[label, cause.value] += 1
        if before and before != after and cause is not Cause.LATE:
            self.changes[transport_label(before), label, "lost" if lost else "moved"] += 1

    def ended(self, machine: SessionMachine) -> None:
        """Counts the end, and keeps what the session has counted."""
        assert machine.outcome is not None
        with self._lock:
            self._live.discard(machine)
            self._gone.add(machine)
            self.ends[code_label(machine.outcome.code)] += 1

    def refused(self, code: int) -> None:
        """Counts a refusal."""
        self.refusals[code_label(code)] += 1

    def flushed(self, seconds: float) -> None:
        """Counts a flush."""
        self.flushes.observe(seconds)

    def handled(self, machine: SessionMachine, seconds: float, result: Result) -> None:
        """Counts a handler."""
        self.handlers[result].observe(seconds)

    def sums(self) -> tuple[Sums, Counter[tuple[str, str]]]:
        """What all sessions have counted, ended and live; and how many are live, by transport and state."""
        live: Counter[tuple[str, str]] = Counter()
        with self._lock:
            sums = self._gone.copy()
            for machine in self._live:
                sums.add(machine)
                live[machine.transport, machine.state.value] += 1
        labelled: Counter[tuple[str, str]] = Counter()
        for (transport, state), count in live.items():
            labelled[transport_label(transport), state] += count
        return sums, labelled
