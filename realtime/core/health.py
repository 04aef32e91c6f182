"""What failed lately, and when it is worth another try: a memory that decays and is bounded.

A client keeps one for its transports, a server one for each network it has seen. Pure: time is passed in.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

__all__ = ["Failure", "Health", "Memory"]


# More in a row are not counted: the wait has long reached its limit, and 2.0 ** 1024 is no number.
MOST_TIMES = 64


class Failure(NamedTuple):
    """What is remembered of a transport that failed."""

    times: int  # in a row
    at: float  # the last time, in seconds of the clock in use
    how: str  # in words


class Health:
    """Each failure in a row doubles the time until the next try, from `least` up to `most` seconds.

    A success forgets all; and every `most` seconds without a further failure forget one.
    """

    __slots__ = ("_failures", "least", "most")

    def __init__(self, least: float, most: float) -> None:
        self.least: float = least
        self.most: float = most
        self._failures: dict[str, Failure] = {}

    def __len__(self) -> int:
        return len(self._failures)

    def failed(self, name: str, how: str, now: float) -> None:
        """A transport did not get through, or died early."""
        self._failures[name] = Failure(min(self.times(name, now) + 1, MOST_TIMES), now, how)

    def worked(self, name: str) -> None:
        """A transport has carried for long enough to be believed."""
        self._failures.pop(name, None)

    def forget(self) -> None:
        """The network has changed: nothing that failed before says anything now."""
        self._failures.clear()

    def times(self, name: str, now: float) -> int:
        """How many failures in a row are remembered."""
        failure = self._failures.get(name)
        if failure is None:
            return 0
        gone = now - failure.at
        if gone > 0 and gone >= failure.times * self.most:
            del self._failures[name]
            return 0
        return failure.times - (int(gone / self.most) if self.most else 0)

    def failure(self, name: str, now: float) -> Failure | None:
        """The failure that is remembered, if any."""
        return self._failures.get(name) if self.times(name, now) else None

    def retry_at(self, name: str, now: float) -> float:
        """When the transport is worth another try; not later than `now` for one without failures."""
        times = self.times(name, now)
        if not times:
            return now
        return self._failures[name].at + min(self.least * 2.0 ** (times - 1), self.most)

    def is_well(self, name: str, now: float) -> bool:
        """Whether the transport is worth a try."""
        return self.retry_at(name, now) <= now


class Memory:
    """A Health for each of many networks; the least recently used are forgotten first."""

    def __init__(self, least: float, most: float, size: int) -> None:
        self._least = least
        self._most = most
        self._size = size
        self.networks: OrderedDict[str, Health] = OrderedDict()

    def __len__(self) -> int:
        return len(self.networks)

    def of(self, network: str) -> Health | None:
        """What is remembered of a network, if anything."""
        health = self.networks.get(network)
        if health is not None:
            self.networks.move_to_end(network)
        return health

    def failed(self, network: str, name: str, how: str, now: float) -> None:
        """A transport did not get through for a client of this network."""
        health = self.of(network)
        if health is None:
            health = self.networks[network] = Health(self._least, self._most)
            while len(self.networks) > self._size:
                self.networks.popitem(last=False)
        health.failed(name, how, now)

    def worked(self, network: str, name: str) -> None:
        """A transport has got through for a client of this network."""
        health = self.of(network)
        if health is not None:
            health.worked(name)
            if not len(health):
                del self.networks[network]
