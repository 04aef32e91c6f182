"""One connection to Redis, for commands: all that is asked in one turn of the event loop is one write, answers come in
order, and of each command it is known whether it was written.

Connections are redis-py's (it knows TLS, passwords, Sentinel, the protocol). Its retries are off: who repeats what has
no answer might do it twice.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ResponseError

from ...clock import CATCHING_UP, STOOD_STILL, Patience
from ...core.errors import BrokerError
from ...loops import ends
from ..base import Refused, Unanswered
from ..counts import Counts
from .connection import Backoff, Connect, Living, in_words, let_go, together
from .scripts import SCRIPTS

__all__ = ["Link"]

log: logging.Logger = logging.getLogger("realtime.broker")

MAX_WAITING = 20_000  # commands
MAX_WAITING_SIZE = 64 * 1024 * 1024  # bytes of them that are not written yet

SLOWEST = 4_000_000  # bytes a second, that Redis takes at least

SECTIONS = ("server", "replication", "memory")  # of what a Redis says of itself
CLOSED = "it is closed"

# What it refuses, as where its memory or its disk is full, is logged so many seconds apart,
PAUSE = 60.0
# but for this, which says where to ask, or that it changes just now.
_PASSING = ("MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN", "READONLY")

# Errors with which Redis says that it did nothing, and may later.
_LATER = (
    "READONLY",
    "LOADING",
    "MASTERDOWN",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "NOREPLICAS",
    "MISCONF",
    "MOVED",
    "ASK",
    "BUSY",
)
LATELY = 5.0  # seconds for which it counts as refusing commands behind one


class Link(Living):
    """Commands to one node of Redis. Connects by itself, and again whenever it has to."""

    def __init__(
        self,
        name: str,
        connect: Connect,
        *,
        timeout: float,
        counts: Counts,
        on_run: Callable[[Link], None],
        on_lost: Callable[[Link], None],
        on_moved: Callable[[], None],
    ) -> None:
        super().__init__(name)
        self.run: str = ""  # of the store, while it is connected
        self.info: dict[str, str] = {}
        self._born = 0.0  # when this run of the store has begun, at the latest
        self.problem: str = "not connected yet"
        self.connected: asyncio.Event = asyncio.Event()
        self._connect = connect
        self._timeout = timeout
        self._counts = counts
        self._on_run = on_run
        self._on_lost = on_lost
        self._on_moved = on_moved
        self._backoff = Backoff(1.0)
        self._connection: AbstractConnection | None = None
        self._unwritten: list[tuple[Any, ...]] = []
        self._size = 0
        self._waiting: deque[tuple[asyncio.Future[Any], float, float]] = deque()  # since when, and for how long
        self._answered = 0.0  # when the last answer came
        self._refused, self._refused_at = "", -math.inf  # what it has said last to a command, and when
        self._said_at = -math.inf  # when that was logged last
        self._wake = asyncio.Event()

    @property
    def age(self) -> float:
        """For how many seconds this run of the store has been there at least."""
        return asyncio.get_running_loop().time() - self._born

    @property
    def refusal(self) -> str:
        """Why it refuses commands; "" where it has refused none lately."""
        lately = asyncio.get_running_loop().time() - self._refused_at <= max(self._timeout, LATELY)
        return self._refused if lately else ""

    # -- commands ------------------------------------------------------------------------------------------------------

    def call(self, *command: Any, patience: float = 0.0) -> asyncio.Future[Any]:
        """Asks; the answer, or Refused, Unanswered, or BrokerError. What is asked first is written first. The answer
        may take `patience` seconds longer than others, and as long as it takes to write what is large."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self._connection is None:
            self._counts.refused += 1
            future.set_exception(Refused(f"Redis ({self.name}) cannot be reached: {self.problem}"))
            return future
        size = sum(len(part) for part in command if isinstance(part, (str, bytes)))
        if len(self._waiting) >= MAX_WAITING or (self._size and self._size + size > MAX_WAITING_SIZE):
            self._counts.refused += 1
            future.set_exception(Refused(f"Redis ({self.name}) is too slow: {len(self._waiting)} commands wait for it"))
            return future
        self._unwritten.append(command)
        self._size += size
        self._waiting.append((future, asyncio.get_running_loop().time(), self._timeout + patience + size / SLOWEST))
        self._wake.set()
        return future

    # -- the connection ------------------------------------------------------------------------------------------------

    async def _live(self) -> None:
        while True:
            connection: AbstractConnection | None = None
            try:
                connection = await self._connect()
                await self._greet(connection)
                await self._serve(connection)
            except BaseException as error:  # whatever it is: who ends here, nobody begins again
                if ends(error):
                    self._lost(CLOSED)
                    raise
                self._lost(in_words(error))
            finally:
                if connection is not None:
                    await let_go(connection)
            await asyncio.sleep(self._backoff.next())

    async def _greet(self, connection: AbstractConnection) -> None:
        """Who is this, and does it know our scripts? Asked in two goes: one answer after the other, a Redis that is far
        away would never be met in time; all at once, one that wants a password would have more to say than it allows
        who has given none (1 KiB), and close the connection without a word of why. Raises Refused."""
        info: dict[str, str] = {}
        async with Patience(self._timeout):
            await self._ask(connection, [("INFO", section) for section in SECTIONS])
            for _ in SECTIONS:
                text = await connection.read_response()
                for line in bytes(text).decode("utf-8", "replace").splitlines():
                    name, _, value = line.partition(":")
                    info[name] = value
            if info.get("role", "master") != "master":
                raise Refused("this Redis is a replica, which takes no writes")
            await self._ask(connection, [("SCRIPT", "LOAD", text) for text in SCRIPTS.values()])
            for _ in SCRIPTS:
                await connection.read_response()
        self.info = info
        self._born = asyncio.get_running_loop().time() - _uptime(info)
        self.run = f"{info.get('run_id', '')}/{info.get('master_replid', '')}"

    async def _serve(self, connection: AbstractConnection) -> None:
        self._connection = connection
        self.problem = ""
        self._backoff.reset()
        log.info("> connected to Redis at %s", self.name)
        self.connected.set()
        self._on_run(self)
        await together(self.name, self._write(connection), self._read(connection), self._watch())

    async def _write(self, connection: AbstractConnection) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            commands, self._unwritten, self._size = self._unwritten, [], 0
            await self._ask(connection, commands)

    async def _ask(self, connection: AbstractConnection, commands: list[tuple[Any, ...]]) -> None:
        await connection.send_packed_command(connection.pack_commands(commands), check_health=False)

    async def _read(self, connection: AbstractConnection) -> None:
        count = 0
        loop = asyncio.get_running_loop()
        while True:
            answer: Any
            try:
                answer = await connection.read_response(timeout=math.inf, disconnect_on_error=False)
            except ResponseError as error:
                answer = error
            count += 1
            if not count % 64:
                await asyncio.sleep(0)  # what has come already is read without waiting: others have their turn
            if not self._waiting:
                continue
            future, since, _ = self._waiting.popleft()
            self._answered = now = loop.time()
            if not isinstance(answer, ResponseError):
                self._counts.answered += 1
                self._counts.seconds += now - since
                if not future.done():
                    future.set_result(answer)
                continue
            words = in_words(answer)
            kind = answer.status_code or words.partition(" ")[0]  # redis-py takes the codes off that it knows
            if kind == "NOSCRIPT":
                # Scripts were flushed. All that waits is asked again, in its order, on another connection.
                self._waiting.appendleft((future, 0.0, 0.0))
                raise Refused("our scripts are gone")
            self._counts.refused += 1
            if not future.done():
                future.set_exception(
                    Refused(f"Redis ({self.name}) refuses for now: {words}")
                    if kind in _LATER
                    else BrokerError(f"Redis ({self.name}) refuses: {words}")
                )
            if kind in ("MOVED", "ASK", "CLUSTERDOWN"):
                self._on_moved()
            if kind not in _PASSING:
                self._refused, self._refused_at = words, now
                if now >= self._said_at + PAUSE:
                    self._said_at = now
                    log.warning("! Redis at %s refuses: %s", self.name, words)
            if kind == "READONLY":
                raise Refused("this Redis has become a replica")

    async def _watch(self) -> None:
        """A connection on which an answer is overdue is given up."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + self._timeout / 4
            await asyncio.sleep(self._timeout / 4)
            if loop.time() - due > STOOD_STILL:
                await asyncio.sleep(CATCHING_UP)  # what has come meanwhile is read first
            if self._waiting:
                _, since, patience = self._waiting[0]
                if loop.time() - max(since, self._answered) > patience:
                    raise TimeoutError(f"no answer within {patience:.3g} s")

    def _lost(self, reason: str) -> None:
        """The connection is gone: of what was written and not answered nobody knows what became of it."""
        unwritten = len(self._unwritten)
        waiting, self._waiting = list(self._waiting), deque()
        self._unwritten, self._size = [], 0
        self._wake.clear()
        if self._connection is not None and reason != CLOSED:
            log.warning("! lost Redis at %s: %s", self.name, reason)
        elif reason not in (self.problem, CLOSED):
            log.warning("! cannot reach Redis at %s: %s", self.name, reason)
        self._connection, self.run, self.problem = None, "", reason
        self.connected.clear()
        self._counts.refused += unwritten
        self._counts.unanswered += len(waiting) - unwritten
        for index, (future, _, _) in enumerate(waiting):
            if not future.done():
                written = index < len(waiting) - unwritten
                kind = Unanswered if written else Refused
                future.set_exception(kind(f"Redis ({self.name}) did not answer: {reason}"))
        self._on_lost(self)


def _uptime(info: dict[str, str]) -> float:
    """For how many seconds a Redis that says this has been the master it is, at least."""
    if info.get("master_replid2", "").strip("0"):
        return 0.0  # it was a replica before: nobody tells since when it is none
    uptime = info.get("uptime_in_seconds", "0")
    return max(0.0, float(uptime) - 1.0) if uptime.isdecimal() else 0.0
