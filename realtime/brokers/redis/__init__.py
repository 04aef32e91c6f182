"""Rooms over Redis or Valkey: what an application says of it. redis-py is imported when one is made, and not before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...core.errors import BrokerError
from ...core.settings import check, number

if TYPE_CHECKING:
    from .store import RedisStore

__all__ = ["RedisBroker"]


class RedisBroker:
    """Rooms over Redis 7 or newer, or Valkey, for `realtime.Server(broker=…)`.

    `url` is redis://[user:password@]host:port/db, rediss:// (TLS), unix:///path,
    redis+sentinel://[user:password@]host:26379,host:26379/service[/db] (without TLS), or redis+cluster://host:port
    (over TLS: rediss+cluster://). All keys and channels begin with `prefix`. A command without an answer for `timeout`
    seconds (5 at most) ends its connection. Every `beat` seconds a worker sends itself a message over pub/sub: when two
    are missing, it subscribes again.

    Raises BrokerError where redis-py is not installed, LocalProtocolError for a URL that means nothing.
    """

    def __init__(self, url: str, *, prefix: str = "realtime:", timeout: float = 2.0, beat: float = 1.0) -> None:
        for name, value in (("url", url), ("prefix", prefix)):
            if not isinstance(value, str):
                raise TypeError(f"{name} is a str, not {type(value).__name__}")
        if "{" in prefix or "}" in prefix:
            raise ValueError("prefix has no braces: in a cluster they say where keys are")
        check("timeout", timeout, number(0, 5, above=True))  # half the lease by which workers are present
        check("beat", beat, number(0, above=True))
        try:
            from . import topology
        except ImportError as error:
            raise BrokerError(
                f"rooms over Redis need redis-py: pip install 'aiohttp-realtime[redis]' ({error})"
            ) from None
        self.url = url
        self.prefix = prefix
        self.timeout = timeout
        self.beat = beat
        self._shown = topology.shown(url)
        topology.topology_of(url, timeout)

    def store(self) -> RedisStore:
        """What a worker uses. Made in its event loop."""
        from .store import RedisStore

        return RedisStore(self.url, self.prefix, timeout=self.timeout, beat=self.beat)

    def __repr__(self) -> str:
        return f"<RedisBroker {self._shown} {self.prefix!r}>"  # no credentials
