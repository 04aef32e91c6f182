"""One connection to Redis, for subscriptions. It hears its own beat: pub/sub that stopped without a word shows."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import AskError, ClusterDownError

from ...loops import ends
from .connection import Backoff, Connect, Living, in_words, let_go, together

__all__ = ["Ear"]

log: logging.Logger = logging.getLogger("realtime.broker")

CHUNK = 512  # channels in one command


class Ear(Living):
    """The subscriptions of one worker at one node. `sharded`: a cluster's, which stay in their slots' nodes."""

    def __init__(
        self,
        name: str,
        connect: Connect,
        *,
        sharded: bool,
        heard: Callable[[str, bytes], None],
        confirmed: Callable[[str], None],
        lost: Callable[[Iterable[str]], None],
        moved: Callable[[], None],
        give_way: Callable[[], Awaitable[None]],
    ) -> None:
        super().__init__(name)
        self.channels: dict[str, None] = {}  # that are wanted
        self.standing: bool = False
        self._connect = connect
        self.sharded = sharded
        self._heard = heard
        self._confirmed = confirmed
        self._lost = lost
        self._moved = moved
        self._give_way = give_way
        self._changes: dict[str, bool] = {}
        self._wake = asyncio.Event()
        self._backoff = Backoff(1.0)
        self._again = asyncio.Event()
        self._problem = ""  # by which it was lost last, if nothing was confirmed since

    def subscribe(self, channel: str) -> None:
        """Wants what this channel brings."""
        self.channels[channel] = None
        self._change(channel, True)

    def unsubscribe(self, channel: str) -> None:
        """Wants it no more."""
        self.channels.pop(channel, None)
        self._change(channel, False)

    def _change(self, channel: str, wanted: bool) -> None:
        if self.standing:  # else the next connection begins with all that are wanted then
            self._changes[channel] = wanted
            self._wake.set()

    def renew(self) -> None:
        """Subscribes to everything again, on another connection."""
        self._again.set()

    async def _live(self) -> None:
        while True:
            connection: AbstractConnection | None = None
            try:
                connection = await self._connect()
                await self._serve(connection)
                reason = "it is made again"
            except BaseException as error:  # whatever it is: who ends here, nobody begins again
                if ends(error):
                    raise
                reason = in_words(error)
                if isinstance(error, AskError | ClusterDownError):  # MOVED is a kind of ASK there
                    self._moved()
            finally:
                if connection is not None:
                    await let_go(connection)
            if self.standing:
                if reason != self._problem:  # where it is refused each time, once is enough
                    log.warning("! lost the subscriptions at %s: %s", self.name, reason)
                self._problem = reason
                self.standing = False
                self._lost(tuple(self.channels))
            await asyncio.sleep(self._backoff.next())

    async def _serve(self, connection: AbstractConnection) -> None:
        self._again.clear()
        self._changes = dict.fromkeys(self.channels, True)
        self._wake.set()
        self.standing = True
        await together(self.name, self._write(connection), self._read(connection), self._wait())

    async def _wait(self) -> None:
        await self._again.wait()

    async def _write(self, connection: AbstractConnection) -> None:
        letter = "S" if self.sharded else ""
        while True:
            await self._wake.wait()
            self._wake.clear()
            changes, self._changes = self._changes, {}
            for wanted, command in ((False, "UNSUBSCRIBE"), (True, "SUBSCRIBE")):
                channels = [channel for channel, is_wanted in changes.items() if is_wanted is wanted]
                for begin in range(0, len(channels), self._chunk):
                    some = channels[begin : begin + self._chunk]
                    await connection.send_packed_command(
                        connection.pack_command(letter + command, *some), check_health=False
                    )

    @property
    def _chunk(self) -> int:
        return 1 if self.sharded else CHUNK  # channels of one command have to be in one slot

    async def _read(self, connection: AbstractConnection) -> None:
        count = 0
        while True:
            answer: Any = await connection.read_response(timeout=math.inf, disconnect_on_error=False)
            count += 1
            if not count % 64:
                await self._give_way()  # what has come already is read without waiting
            if not isinstance(answer, list) or len(answer) < 3:
                continue
            kind, channel = bytes(answer[0]), bytes(answer[1] or b"").decode()
            if kind in (b"message", b"smessage"):
                self._heard(channel, answer[2])
            elif kind in (b"subscribe", b"ssubscribe"):
                self._backoff.reset()
                self._problem = ""
                if channel in self.channels:
                    self._confirmed(channel)
            elif channel in self.channels and channel not in self._changes:
                self._moved()  # its slot is at another node now
                return
