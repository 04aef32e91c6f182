"""The nodes that have a worker's rooms: placed where the topology has them, listened to, asked.

What a channel brings is told to the listener in its order: a large payload, which is only named there, is fetched
first.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from typing import Any

from redis.exceptions import RedisError

from ...core.errors import BrokerError
from ...core.rooms import Entry
from ...loops import ends
from ..base import Health, Listener, Refused
from .connection import in_words
from .ear import Ear
from .link import Link
from .node import Node
from .scripts import PARTITIONS, Keys
from .topology import Topology

__all__ = ["Nodes", "message_of"]

log: logging.Logger = logging.getLogger("realtime.broker")

MAX_FETCHING = 256  # messages of a room that wait for a large one before them
LARGE_PATIENCE = 30.0  # seconds more than other answers, that a large payload may take
PAUSE = 0.5  # seconds between two looks at the topology: many notices of one change are one


class Nodes:
    """All nodes, as one worker uses them."""

    def __init__(self, topology: Topology, keys: Keys, *, timeout: float, beat: float) -> None:
        self._topology = topology
        self._keys = keys
        self._timeout = timeout
        self._beat = beat
        self._worker = ""
        self._listener: Listener
        self._nodes: dict[str, Node] = {}
        self._by_part: list[Node | None] = [None] * PARTITIONS
        self._rooms: set[str] = set()
        self._fetching: dict[str, deque[tuple[Entry, bool]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._moved = asyncio.Event()
        self._news = asyncio.Event()  # set, and replaced, when a node is reached, or parts are elsewhere
        self._problem = "not connected yet"
        self._warned: set[str] = set()
        self._closed = False

    # -- starting and ending -------------------------------------------------------------------------------------------

    def start(self, worker: str, listener: Listener) -> None:
        """Connects, or goes on trying."""
        self._worker, self._listener = worker, listener
        self._moved.set()
        self._spawn(self._place())

    async def close(self) -> None:
        """Ends all connections."""
        self._closed = True
        for task in tuple(self._tasks):
            task.cancel()
        try:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        finally:
            nodes, self._nodes = self._nodes, {}
            try:
                await asyncio.gather(*(node.close() for node in nodes.values()))
            finally:
                with suppress(RedisError, OSError):
                    await self._topology.close()

    def _spawn(self, coroutine: Any) -> None:
        task = asyncio.get_running_loop().create_task(coroutine, name="realtime broker")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _place(self) -> None:
        """Keeps nodes where the topology has them."""
        tags = [self._keys.workers(part) for part in range(PARTITIONS)]
        while True:
            await self._moved.wait()
            self._moved.clear()
            try:
                names = await self._topology.nodes(tags)
            except BaseException as error:  # of redis-py, whose clusters raise what is no RedisError
                if ends(error):
                    raise
                words = in_words(error)
                if words != self._problem:
                    log.warning("! cannot find the nodes of Redis: %s", words)
                self._problem = words
                self._moved.set()
                await asyncio.sleep(PAUSE)
                continue
            self._problem = ""
            await self._arrange(names)
            await asyncio.sleep(PAUSE)

    async def _arrange(self, names: list[str]) -> None:
        before, beats = list(self._by_part), dict[str, str]()
        gone = {name: node for name, node in self._nodes.items() if name not in names}
        for part, name in enumerate(names):
            if name not in self._nodes:
                self._nodes[name] = self._node(name, part)
                self._nodes[name].start()
            self._by_part[part] = self._nodes[name]
            beats.setdefault(name, self._keys.beat(part, self._worker))
        for name, channel in beats.items():
            self._nodes[name].beat_on(channel)
        self._tell()
        moved = [room for room in self._rooms if before[self._keys.part(room)] is not self._node_of(room)]
        for room in moved:
            old = before[self._keys.part(room)]
            if old is not None:
                old.ear.unsubscribe(self._keys.channel(room))
            self._ear(room).subscribe(self._keys.channel(room))
        if moved:
            self._listener.unsubscribed(moved)
        for name, node in gone.items():
            del self._nodes[name]
            await node.close()

    def _node(self, name: str, part: int) -> Node:
        connect = partial(self._topology.connect, name)
        link = Link(
            name,
            connect,
            timeout=self._timeout,
            counts=self._listener.counts,
            on_run=self._returned,
            on_lost=self._lost,
            on_moved=self._moved.set,
        )
        node: Node

        def heard(channel: str, data: bytes) -> None:
            if not node.heard(channel, data):
                self._heard(channel, data)

        ear = Ear(
            name,
            connect,
            sharded=self._topology.sharded,
            heard=heard,
            confirmed=self._confirmed,
            lost=self._unheard,
            moved=self._moved.set,
            give_way=self._listener.give_way,
        )
        node = Node(link, ear, self._keys.beat(part, self._worker), beat=self._beat, deaf=self._deaf)
        return node

    def _node_of(self, room: str) -> Node | None:
        return self._by_part[self._keys.part(room)]

    def _ear(self, room: str) -> Ear:
        node = self._node_of(room)
        assert node is not None
        return node.ear

    # -- what nodes tell -----------------------------------------------------------------------------------------------

    def _returned(self, link: Link) -> None:
        policy = link.info.get("maxmemory_policy", "noeviction")
        limit = link.info.get("maxmemory", "0")
        if policy != "noeviction" and limit != "0" and link.name not in self._warned:
            self._warned.add(link.name)
            log.warning(
                "! Redis at %s may drop our keys when its memory is full (maxmemory-policy %s): rooms would lose their"
                " history and positions. Set maxmemory-policy noeviction, or use another Redis",
                link.name,
                policy,
            )
        self._tell()
        self._listener.returned(link.run)

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    def _lost(self, link: Link) -> None:
        if self._closed:
            return
        self._listener.failed()
        if self._topology.sharded:
            self._moved.set()

    def _deaf(self, node: Node) -> None:
        self._listener.counts.deafnesses += 1
        self._unheard(tuple(node.ear.channels))

    def _unheard(self, channels: Iterable[str]) -> None:
        rooms = [room for room in map(self._keys.room_of, channels) if room is not None and room in self._rooms]
        if rooms and not self._closed:
            self._listener.unsubscribed(rooms)

    def _confirmed(self, channel: str) -> None:
        room = self._keys.room_of(channel)
        if room is not None and room in self._rooms:
            self._listener.subscribed(room)

    def _heard(self, channel: str, data: bytes) -> None:
        room = self._keys.room_of(channel)
        if room is None or room not in self._rooms:
            return
        if data == b"!":
            self._listener.missed(room)
        elif data == b"?":
            self._listener.attended(room)
        else:
            found = message_of(data)
            if found is None:
                self._listener.missed(room)
                return
            entry, referenced = found
            waiting = self._fetching.get(room)
            if waiting is not None:
                if len(waiting) < MAX_FETCHING:
                    waiting.append((entry, referenced))
            elif referenced:
                self._fetching[room] = deque([(entry, True)])
                self._spawn(self._fetch(room))
            else:
                self._listener.received(room, entry)

    async def _fetch(self, room: str) -> None:
        """Large payloads are fetched, in their order; what came behind them waits."""
        waiting = self._fetching[room]
        full = False
        try:
            while waiting:
                full = full or len(waiting) >= MAX_FETCHING
                entry, referenced = waiting[0]
                payload = await self.payload(room, entry.id) if referenced else entry.payload
                if payload is None:
                    full = True  # the next one shows the gap; if there is none, the comparison does
                else:
                    self._listener.received(room, entry._replace(payload=payload))
                waiting.popleft()
        finally:
            del self._fetching[room]
        if full and room in self._rooms:
            self._listener.missed(room)

    async def payload(self, room: str, id: str) -> bytes | None:
        """A large payload; None if it is not there, or not reached."""
        with suppress(BrokerError):
            answer = await self.call(
                self._keys.part(room), "GET", self._keys.payload(room, id), patience=LARGE_PATIENCE
            )
            return None if answer is None else bytes(answer)
        return None

    # -- what is asked of them -----------------------------------------------------------------------------------------

    def subscribe(self, room: str) -> None:
        """From the confirmation on, its messages come."""
        self._rooms.add(room)
        node = self._node_of(room)
        if node is not None:
            node.ear.subscribe(self._keys.channel(room))

    def unsubscribe(self, room: str) -> None:
        """They come no more."""
        self._rooms.discard(room)
        node = self._node_of(room)
        if node is not None:
            node.ear.unsubscribe(self._keys.channel(room))

    def run_of(self, room: str) -> str:
        """The run of the store that has this room now."""
        node = self._node_of(room)
        return "" if node is None else node.link.run

    def run_at(self, part: int) -> str:
        """The run of the store that has this part now."""
        node = self._by_part[part]
        return "" if node is None else node.link.run

    def name_at(self, part: int) -> str:
        """The name of the node that has this part now."""
        node = self._by_part[part]
        return "" if node is None else node.name

    def age_at(self, part: int) -> float:
        """For how many seconds that run has been there at least."""
        node = self._by_part[part]
        return 0.0 if node is None else node.link.age

    async def reached(self, room: str) -> None:
        """Waits until the node of this room is connected, whichever has it by then."""
        while (node := self._node_of(room)) is None or not node.link.connected.is_set():
            await self._news.wait()

    def health(self) -> Health:
        """What is reached and heard, of all nodes."""
        problems = [f"cannot find the nodes of Redis: {self._problem}"] if self._problem else []
        for node in tuple(self._nodes.values()):
            if node.link.problem:
                problems.append(f"Redis at {node.name} cannot be reached: {node.link.problem}")
            elif not node.hears:
                problems.append(f"the subscriptions at {node.name} do not hear their own beats")
        ready = not problems
        for node in self._nodes.values():
            if not node.link.problem and (refusal := node.link.refusal):
                problems.append(f"Redis at {node.name} refuses: {refusal}")
        return Health(ready, tuple(problems))

    def call(self, part: int, *command: Any, patience: float = 0.0) -> asyncio.Future[Any]:
        """Asks the node that has a partition. Raises Refused; the answer may raise as well."""
        node = self._by_part[part]
        if node is None:
            raise Refused(f"Redis cannot be reached: {self._problem}")
        return node.link.call(*command, patience=patience)


def message_of(data: bytes) -> tuple[Entry, bool] | None:
    """What a channel, or a stream, has; and whether the payload is elsewhere. None for what is not ours."""
    head, newline, payload = data.partition(b"\n")
    try:
        epoch, offset, id, previous, how = head.decode().split(" ")
        if not newline or how not in ("d", "r"):
            return None
        return Entry(int(epoch), int(offset), id, previous, payload), how == "r"
    except ValueError:
        return None
