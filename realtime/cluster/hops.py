"""This worker's connections to others: made, greeted (seals), and kept for a while where another request may follow.

One connection serves one request at a time, or a carrier for as long as that lives. Back-pressure is the kernel's, both
ways: what is not passed on is not read. Knows no HTTP, but where a head ends.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import ssl
from collections.abc import Callable
from typing import cast

from ..clock import Patience
from ..core.leases import Peer
from ..web.links import HIGH_WATER
from .places import Place, place_at
from .seals import ANSWER_SIZE, GREETING_SIZE, NONCE_SIZE, Seal, nonce_of

__all__ = ["HANDSHAKE_PATIENCE", "Broken", "Hop", "Hops", "Refused", "TooMany"]

# How long it may take until a worker is reached, and known, in seconds.
HANDSHAKE_PATIENCE = 5.0
# How long a connection is kept that nobody uses, in seconds; the worker at its other end keeps it for longer.
IDLE = 15.0
# So many of one worker's are kept.
MOST_IDLE = 32
# So much of an answer's head is read.
MAX_HEAD = 131_072
# A host that is gone without a word is found out after so many seconds, and so many more between tries, of which there
# are so many.
KEEPALIVE = (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))


class Broken(Exception):
    """A worker could not be reached, or the connection to it ended too early, or says what makes no sense."""


class Refused(Broken):
    """Nobody is where a worker was, or another incarnation: it is gone."""


class TooMany(Broken):
    """There are as many connections to others as there may be."""


class Hop(asyncio.Protocol):
    """This end of a connection to another worker."""

    def __init__(self, over: Callable[[], object]) -> None:
        self.transport: asyncio.Transport
        self.seal: Seal
        self.gone: bool = False  # nothing more comes
        self.over = over  # called then
        self.durable: bool = False  # what it carries is a durable session's
        self.blocked: bool = False  # the worker does not take what is sent
        self.full: Callable[[bool], object] | None = None  # told of that
        self._buffer = bytearray()
        self._most = HIGH_WATER  # of what is kept
        self._to: Callable[[bytes], object] | None = None
        self._waiter: asyncio.Future[None] | None = None  # for what comes
        self._drained: asyncio.Future[None] | None = None  # until more can be sent

    # -- what asyncio's transport tells --------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It stands."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are none by their class
        self.transport.set_write_buffer_limits(high=HIGH_WATER)

    def data_received(self, data: bytes) -> None:
        """What has come."""
        if self._to is not None:
            self._to(data)
            return
        self._buffer += data
        if len(self._buffer) >= self._most:
            self.wait()
        self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        """It is gone."""
        self.gone = True
        self._wake()
        self._flows()
        self.over()

    def pause_writing(self) -> None:
        """The worker does not take what is sent."""
        self.blocked = True
        if self.full is not None:
            self.full(True)

    def resume_writing(self) -> None:
        """It does."""
        self.blocked = False
        if self.full is not None:
            self.full(False)
        self._flows()

    def _flows(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    # -- reading and writing -------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _more(self) -> None:
        """Waits for more than there is. Raises Broken when nothing more comes."""
        if self.gone:
            raise Broken("the connection has ended")
        self.read_on()
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    async def take(self, size: int) -> bytes:
        """The next so many bytes. Raises Broken."""
        self._most = max(HIGH_WATER, size)
        while len(self._buffer) < size:
            await self._more()
        self._most = HIGH_WATER
        return self._cut(size)

    async def head(self) -> bytes:
        """What comes before an empty line. Raises Broken."""
        at = 0
        while (end := self._buffer.find(b"\r\n\r\n", max(0, at - 3))) < 0:
            at = len(self._buffer)
            if at > MAX_HEAD:
                raise Broken("the head of an answer is too long")
            self._most = at + HIGH_WATER
            await self._more()
        self._most = HIGH_WATER
        return self._cut(end + 4)[:end]

    def _cut(self, size: int) -> bytes:
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    def pass_on(self, to: Callable[[bytes], object] | None) -> None:
        """Everything that comes, and what is here already, goes to `to`, as it comes: whoever cannot take more has the
        transport wait. With None it is kept again."""
        self._to = to
        if to is None:
            return
        if self._buffer:
            data, self._buffer = bytes(self._buffer), bytearray()
            to(data)

    def read_on(self) -> None:
        """Reads, if it was not."""
        if not self.transport.is_closing() and not self.transport.is_reading():
            self.transport.resume_reading()

    def wait(self) -> None:
        """Does not read."""
        if not self.transport.is_closing() and self.transport.is_reading():
            self.transport.pause_reading()

    async def drain(self) -> None:
        """Waits until more can be sent. Raises Broken when nothing can."""
        if self.blocked and not self.gone:
            self._drained = asyncio.get_running_loop().create_future()
            await self._drained
        if self.gone or self.transport.is_closing():
            raise Broken("the connection has ended")

    @property
    def fresh(self) -> bool:
        """Whether a request can be made on it."""
        return not (self.gone or self.transport.is_closing() or self._buffer)


class Hops:
    """The connections of one worker to all others."""

    def __init__(self, secret: bytes, tls: ssl.SSLContext | None = None, most: int = 10_000) -> None:
        """`tls` is for the workers on other machines; there are at most `most` connections."""
        self._secret = secret
        self._tls = tls
        self._most = most
        self._idle: dict[Peer, dict[Hop, asyncio.TimerHandle]] = {}
        self.open: dict[Hop, Peer] = {}  # all of them
        self._fewer = asyncio.Event()  # are in use

    @property
    def idle(self) -> int:
        """How many of them nobody uses."""
        return sum(map(len, self._idle.values()))

    def busy(self) -> set[Peer]:
        """The workers that something is being brought to."""
        return {peer for hop, peer in self.open.items() if hop not in self._idle.get(peer, {})}

    async def quiet(self) -> None:
        """Waits until nothing is being brought."""
        while self.busy():
            self._fewer.clear()
            await self._fewer.wait()

    async def reach(self, peer: Peer, *, new: bool = False) -> Hop:
        """A connection to this worker on which nothing is under way, or nothing ever was. Raises Broken: Refused if the
        worker is gone."""
        idle = None if new else self._idle.get(peer)
        while idle:
            hop, timer = idle.popitem()
            timer.cancel()
            if hop.fresh:
                return hop
            hop.transport.close()
        if len(self.open) >= self._most:
            raise TooMany
        place, proves = place_at(peer.address)
        hop = Hop(lambda: self._over(hop))
        self.open[hop] = peer
        try:
            async with Patience(HANDSHAKE_PATIENCE):
                await self._connect(hop, place)
                await self._greet(hop, peer)
        except BaseException as error:
            if hasattr(hop, "transport"):
                hop.transport.abort()
            self._over(hop)
            if isinstance(error, ConnectionRefusedError | FileNotFoundError | Refused):
                if not proves:
                    raise Broken(f"{peer.address} is on another machine, or in another container") from None
                raise Refused(f"nobody is at {peer.address} any more") from None
            if isinstance(error, OSError | TimeoutError):
                raise Broken(f"{peer.address} cannot be reached: {error!r}") from None
            raise
        return hop

    async def _connect(self, hop: Hop, place: Place) -> None:
        loop = asyncio.get_running_loop()
        if place.path:
            await loop.create_unix_connection(lambda: hop, place.path)
            return
        await loop.create_connection(lambda: hop, place.host, place.port, ssl=self._tls)
        connection = hop.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in KEEPALIVE:
            if hasattr(socket, name):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    async def _greet(self, hop: Hop, peer: Peer) -> None:
        theirs = nonce_of(await hop.take(GREETING_SIZE))
        if theirs is None:
            raise Broken(f"what listens at {peer.address} is no worker's inner port")
        hop.seal = Seal(self._secret, theirs, secrets.token_bytes(NONCE_SIZE), Seal.mark(peer.incarnation))
        hop.transport.write(hop.seal.hello())
        welcome = hop.seal.welcome(await hop.take(ANSWER_SIZE))
        if welcome is None:
            raise Broken(f"the worker at {peer.address} has another secret")
        if not welcome:
            raise Refused(f"another worker is at {peer.address} now")

    def keep(self, hop: Hop) -> None:
        """A request was answered: another may follow."""
        self._fewer.set()
        hop.durable = False
        peer = self.open.get(hop)
        if peer is None:  # it has ended just behind that
            return
        idle = self._idle.setdefault(peer, {})
        if not hop.fresh or len(idle) >= MOST_IDLE:
            hop.transport.close()
            return
        idle[hop] = asyncio.get_running_loop().call_later(IDLE, hop.transport.close)

    def _over(self, hop: Hop) -> None:
        """A connection has ended."""
        self._fewer.set()
        peer = self.open.pop(hop, None)
        idle = None if peer is None else self._idle.get(peer)
        if peer is None or idle is None:
            return
        timer = idle.pop(hop, None)
        if timer is not None:
            timer.cancel()
        if not idle:
            del self._idle[peer]

    def close(self) -> None:
        """Ends all of them."""
        for hop in tuple(self.open):
            if hasattr(hop, "transport"):
                hop.transport.close()
