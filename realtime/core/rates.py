"""Token buckets: how much of something may come in a second, of one session or of one address.

Pure: time is passed in, in seconds. A bucket holds `burst` tokens at most, gains `rate` a second, and may be overdrawn:
what is owed says how long to wait.
"""

from __future__ import annotations

from collections import OrderedDict

from .config import Config
from .errors import RemoteProtocolError

__all__ = ["AddressBuckets", "Bucket", "Meter"]

# Pings are answered, and what was heard of rooms acknowledged, however seldom messages may come: so much that is no
# message may come in a second.
OTHERS = 1.0
# An address may open so many seconds' worth at once, and one in any case.
OPENS_BURST = 10.0


class Bucket:
    """One token bucket, full at first."""

    __slots__ = ("_at", "_level", "burst", "rate")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self.rate: float = rate  # tokens a second
        self.burst: float = burst
        self._level = burst
        self._at = now

    def level(self, now: float) -> float:
        """The tokens there are now; below 0 what is owed. A clock that goes back changes nothing."""
        if now > self._at:
            self._level = min(self.burst, self._level + (now - self._at) * self.rate)
            self._at = now
        return self._level

    def spend(self, amount: float, now: float) -> float:
        """Spends tokens, there or not, and returns when they will have been there: `now`, or later."""
        self._level = self.level(now) - amount
        return now if self._level >= 0 else now - self._level / self.rate


class Meter:
    """The rates of one session's messages (settings max_message_rate, max_byte_rate, rate_burst, on_rate).

    What is no new message (a ping, what has come before, what nobody knows) may come as often again, and once a second
    in any case. There is no window to slow that down by, so whoever sends more is out.
    """

    __slots__ = ("_bytes", "_config", "_messages", "_others")

    def __init__(self, config: Config, now: float) -> None:
        burst = config.rate_burst
        messages, size = config.max_message_rate, config.max_byte_rate
        self._config = config
        self._messages = None if messages is None else Bucket(messages, max(1.0, messages * burst), now)
        # A client that is one window ahead may have asked for an ack behind each of its messages.
        more = max(1.0, (messages or 0.0) * burst) + config.max_queue
        self._others = None if messages is None else Bucket(max(messages, OTHERS), more, now)
        self._bytes = None if size is None else Bucket(size, size * burst, now)

    @classmethod
    def of(cls, config: Config, now: float) -> Meter | None:
        """The meter that these settings ask for, or None where nothing is limited."""
        return cls(config, now) if config.metered else None

    def charge_other(self, now: float) -> None:
        """Something has come that is no new message. Raises RemoteProtocolError (1008) when that is too much."""
        if self._others is not None and self._others.spend(1, now) > now:
            rate = self._config.max_message_rate
            raise RemoteProtocolError(1008, f"too much that is no message (max_message_rate={rate:g})")

    def charge(self, size: int, now: float) -> float:
        """A message of `size` payload bytes has come: from when on it is within the rates.

        Raises RemoteProtocolError (1008) when that is later than now and on_rate is "close".
        """
        when = now
        for bucket, amount in ((self._messages, 1), (self._bytes, size)):
            if bucket is not None:
                when = max(when, bucket.spend(amount, now))
        if when > now and self._config.on_rate == "close":
            limits = [
                f"{name}={getattr(self._config, name):g}"
                for name in ("max_message_rate", "max_byte_rate")
                if getattr(self._config, name) is not None
            ]
            raise RemoteProtocolError(1008, f"too much in too short a time ({', '.join(limits)}, on_rate='close')")
        return when


class AddressBuckets:
    """A bucket for each address that has opened sessions lately. Full ones are forgotten, and never more are kept
    than `most`: the one that was used least lately goes first, even if it owes."""

    def __init__(self, rate: float, *, most: int = 10_000) -> None:
        self.rate = rate
        self.burst: float = max(1.0, rate * OPENS_BURST)
        self.most = most
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, address: str, now: float) -> float:
        """Takes one token of this address. Returns 0, or, taking none, after how many seconds there will be one."""
        bucket = self._buckets.pop(address, None) or Bucket(self.rate, self.burst, now)
        self._buckets[address] = bucket  # the last: used just now
        self._forget(now)
        missing = 1 - bucket.level(now)
        if missing > 0:
            return missing / self.rate
        bucket.spend(1, now)
        return 0.0

    def _forget(self, now: float) -> None:
        """Drops the oldest: those that are full again say nothing that a new one would not."""
        buckets = self._buckets
        while len(buckets) > 1:
            address, oldest = next(iter(buckets.items()))
            if oldest.level(now) < oldest.burst and len(buckets) <= self.most:
                break
            del buckets[address]
