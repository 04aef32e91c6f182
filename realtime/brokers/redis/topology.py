"""Where Redis is: one server, the master that Sentinel names, or the nodes of a cluster. Makes redis-py's connections,
and knows their addresses without credentials.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, cast
from urllib.parse import unquote, urlsplit

from redis.asyncio import ConnectionPool, RedisCluster
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff

from ...clock import Patience
from ...core.errors import LocalProtocolError

__all__ = ["Topology", "shown", "topology_of"]

# A connection is made, and its first questions are answered, within so many times what one answer may take.
CONNECTING = 2


class Topology(Protocol):
    """Which node has which part of the keys, and how to reach it."""

    sharded: bool  # subscriptions are the slots' nodes' own
    database: int

    async def nodes(self, keys: Sequence[str]) -> list[str]:
        """The names of the nodes that have these keys, asked anew. Raises RedisError or OSError."""

    async def connect(self, node: str) -> AbstractConnection:
        """A new connection to a node. Raises RedisError or OSError."""

    async def close(self) -> None:
        """Lets go what nodes() and connect() needed beside their connections."""


def shown(url: str) -> str:
    """A URL without what nobody may read in a log: who logs in, with which password, and the query."""
    scheme, colon, rest = url.partition("://") if "://" in url else ("", "", url)
    place = re.split("[?#]", rest, maxsplit=1)[0]
    if "@" in rest[len(place) :]:
        return f"{scheme}{colon}…"  # a password that was not quoted, perhaps
    return f"{scheme}{colon}{place.rpartition('@')[2]}"


def _options(timeout: float) -> dict[str, Any]:
    """Of every connection: nothing is repeated, nothing is waited for beyond what the links do themselves."""
    return {
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": None,
        "socket_connect_timeout": timeout,
        "socket_keepalive": True,
        "health_check_interval": 0,
        "protocol": 2,
        "decode_responses": False,
    }


async def _in_time(limit: float, connecting: Awaitable[None]) -> None:
    """Waits until a connection is made, and its Redis has answered on it, for so many seconds: whoever accepts one may
    never say a word. Raises TimeoutError."""
    timeout = Patience(limit)
    try:
        async with timeout:
            await connecting
    except TimeoutError:
        if not timeout.expired():
            raise
        raise TimeoutError(f"no answer to a new connection within {limit:g} s") from None


async def _connected(make: Callable[[], Any], limit: float) -> AbstractConnection:
    connection: Any = make()
    try:
        await _in_time(limit, connection.connect())
    except BaseException:
        await connection.disconnect(nowait=True)  # it may be half there
        raise
    return cast(AbstractConnection, connection)


class _One:
    """All keys are at one node, whose connections a pool of redis-py's makes."""

    sharded = False

    def __init__(self, url: str, pool: Any, limit: float) -> None:
        self._pool = pool
        self.database: int = pool.connection_kwargs.get("db") or 0
        self._name = shown(url)
        self._limit = limit

    async def nodes(self, keys: Sequence[str]) -> list[str]:
        return [self._name] * len(keys)

    def _make(self) -> Any:
        return self._pool.make_connection()

    async def connect(self, node: str) -> AbstractConnection:
        return await _connected(self._make, self._limit)

    async def close(self) -> None:
        await self._pool.disconnect()


class _Single(_One):
    """One server, over TCP, TLS or a Unix socket."""

    def __init__(self, url: str, timeout: float) -> None:
        options = _options(timeout)
        if url.startswith("unix:"):
            del options["socket_keepalive"]
        elif (database := urlsplit(url).path.strip("/")) and not database.isdecimal():
            raise ValueError("redis-py would take the first")
        super().__init__(url, ConnectionPool.from_url(url, **options), CONNECTING * timeout)


class _Sentinel(_One):
    """The master of a service, as Sentinels name it: asked at each connect."""

    def __init__(self, url: str, timeout: float) -> None:
        parts = urlsplit(url)
        service, _, database = parts.path.strip("/").partition("/")
        if parts.query:
            raise LocalProtocolError(f"{shown(url)}: behind the service comes a database, and no ? with options")
        if not service:
            raise LocalProtocolError(f"{shown(url)} names no service: redis+sentinel://host:26379/mymaster")
        options = _options(timeout)
        login, _, hosts = parts.netloc.rpartition("@")
        if login:
            user, _, password = login.partition(":")
            options["password"] = unquote(password)
            if user:
                options["username"] = unquote(user)
        if database:
            options["db"] = int(database)
        of_sentinels = {name: options[name] for name in ("retry", "socket_connect_timeout", "protocol")}
        of_sentinels["socket_timeout"] = timeout
        sentinel: Any = Sentinel
        self._sentinel = sentinel([_address(host, 26379) for host in hosts.split(",")], 0, of_sentinels)
        pool = self._sentinel.master_for(service, **options).connection_pool
        super().__init__(url, pool, CONNECTING * timeout * (1 + len(self._sentinel.sentinels)))
        self._limit_of_master = CONNECTING * timeout

    def _make(self) -> Any:
        connection = super()._make()
        connect_to = connection.connect_to
        connection.connect_to = lambda address: _in_time(self._limit_of_master, connect_to(address))
        return connection

    async def close(self) -> None:
        await super().close()
        for sentinel in self._sentinel.sentinels:
            await sentinel.aclose()


class _Cluster:
    """The nodes of a cluster, each with its slots."""

    sharded = True
    database = 0  # there is no other

    def __init__(self, url: str, timeout: float) -> None:
        # Who is asked where keys are may stand still: then another node is asked.
        options = {**_options(timeout), "socket_timeout": timeout}
        del options["retry"]
        self._timeout = timeout
        self._cluster: Any = RedisCluster.from_url(url, **options)
        self._asking: asyncio.Task[None] | None = None

    async def nodes(self, keys: Sequence[str]) -> list[str]:
        # redis-py, stopped in the middle of this, leaves connections behind: it is let finish.
        self._asking = asyncio.get_running_loop().create_task(self._ask(), name="realtime broker topology")
        await asyncio.shield(self._asking)
        return [str(self._cluster.get_node_from_key(key).name) for key in keys]

    async def _ask(self) -> None:
        await self._cluster.aclose()
        await self._cluster.initialize()

    async def connect(self, node: str) -> AbstractConnection:
        found = self._cluster.get_node(node_name=node)
        if found is None:
            raise OSError(f"{node} is no node of the cluster any more")
        options = {**found.connection_kwargs, "retry": Retry(NoBackoff(), 0), "socket_timeout": None}
        return await _connected(lambda: found.connection_class(**options), CONNECTING * self._timeout)

    async def close(self) -> None:
        if self._asking is not None:
            await asyncio.wait([self._asking], timeout=2 * self._timeout)
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
        await self._cluster.aclose()


def _address(host: str, port: int) -> tuple[str, int]:
    parts = urlsplit(f"//{host}")
    return parts.hostname or "localhost", parts.port or port


def topology_of(url: str, timeout: float) -> Topology:
    """What a URL means. Raises LocalProtocolError for one that means nothing."""
    scheme, _, rest = url.partition("://")
    try:
        if scheme == "redis+sentinel":
            return _Sentinel(url, timeout)
        if scheme in ("redis+cluster", "rediss+cluster") and urlsplit(url).hostname:
            return _Cluster(f"{scheme.partition('+')[0]}://{rest}", timeout)
        if scheme in ("redis", "rediss", "unix"):
            return _Single(url, timeout)
    except ValueError:  # whose words may have the password
        raise LocalProtocolError(
            f"{shown(url)} is no URL of a Redis: ports and databases are numbers, an IPv6 address has brackets, and"
            " behind ? are options of redis-py"
        ) from None
    raise LocalProtocolError(
        f"{shown(url)} is no URL of a Redis: redis://, rediss:// (TLS), unix://, redis+sentinel://, redis+cluster:// or"
        " rediss+cluster://, and a host"
    )
