"""All that a broker must do (brokers/base), over Redis: each is a script, or a command, at the room's node."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ...core.identities import is_of_identity
from ...core.rooms import CLOSING, Position, Reading
from ..base import REPEATS, Expired, Health, Keep, Listener, Present
from .directory import RedisDirectory
from .nodes import Nodes, message_of
from .queues import RedisQueues
from .records import RedisRecords
from .scripts import PARTITIONS, Keys, ms, sha
from .topology import topology_of

__all__ = ["RedisStore"]

LARGE = 65_536  # bytes of a payload above which it is stored and referenced
PAGE, PAGE_SIZE = 256, 1_048_576  # messages and bytes of one reading
HEAD_LIFE = 7 * 86_400_000  # ms after its last use, until a room's position is forgotten
IDENTITY_LIFE = 3_600_000  # the same of an identity's room
ANSWER_LIFE = 60_000  # ms for which answers are kept
REFERENCE_LIFE = 60_000  # ms for which a large payload is there that no history has, or has any more


class RedisStore:
    """Redis, as one worker uses it."""

    def __init__(self, url: str, prefix: str, *, timeout: float, beat: float) -> None:
        topology = topology_of(url, timeout)
        self.parts = PARTITIONS
        self._keys = Keys(prefix, topology.database)
        self._command = "SPUBLISH" if topology.sharded else "PUBLISH"
        self._worker = ""
        self._nodes = Nodes(topology, self._keys, timeout=timeout, beat=beat)
        self.directory: RedisDirectory = RedisDirectory(self._nodes, self._keys)
        self.queues: RedisQueues = RedisQueues(self._nodes, self._keys)
        self.records: RedisRecords = RedisRecords(self._nodes, self._keys)

    async def start(self, worker: str, listener: Listener) -> None:
        """Connects, or goes on trying."""
        self._worker = worker
        self._nodes.start(worker, listener)

    async def close(self) -> None:
        """Ends all connections."""
        await self._nodes.close()

    async def reached(self, room: str) -> None:
        """Waits until the node of this room is connected."""
        await self._nodes.reached(room)

    def health(self) -> Health:
        """What is reached and heard, of all nodes."""
        return self._nodes.health()

    def run_of(self, room: str) -> str:
        """The run of the store that has this room now."""
        return self._nodes.run_of(room)

    def run_at(self, part: int) -> str:
        """The run of the store that has this part now."""
        return self._nodes.run_at(part)

    def subscribe(self, room: str) -> None:
        """From the confirmation on, its messages come."""
        self._nodes.subscribe(room)

    def unsubscribe(self, room: str) -> None:
        """They come no more."""
        self._nodes.unsubscribe(room)

    # -- Broker --------------------------------------------------------------------------------------------------------

    async def publish(
        self, room: str, keep: Keep, id: str, payload: bytes, ask: bool, life: float = REPEATS
    ) -> Position | None:
        """Publishes, or finds what was published."""
        keys = self._keys
        large = len(payload) > LARGE
        answer = await self._script(
            room,
            "publish",
            (
                keys.head(room),
                keys.stream(room),
                keys.repeat(room, id),
                keys.channel(room),
                keys.payload(room, id),
                keys.larges(room),
            ),
            (
                id,
                payload,
                keep.history,
                ms(keep.ttl),
                _life(room, keep),
                int(ask),
                ms(life),
                int(large),
                self._command,
                int(payload == CLOSING),
                REFERENCE_LIFE,
            ),
        )
        epoch, _, offset = bytes(answer).decode().partition(" ")
        return Position(int(epoch), int(offset), id) if epoch else None

    # -- History -------------------------------------------------------------------------------------------------------

    async def read(
        self, room: str, keep: Keep, after: Position | None, known: Position | None, last: int = 0
    ) -> Reading:
        """Where a room stands, and what follows."""
        answer = await self._script(
            room,
            "read",
            (self._keys.head(room), self._keys.stream(room)),
            (
                after.epoch if after else "",
                after.offset if after else "",
                known.offset if known else "",
                last,
                PAGE,
                PAGE_SIZE,
                _life(room, keep),
            ),
        )
        epoch, top, id, base, base_id, clock, more, id_after, id_known, flat, closed = answer
        closed_epoch, _, closed_offset = bytes(closed).decode().partition(" ")
        entries = []
        for offset, text in zip(flat[::2], flat[1::2], strict=True):
            found = message_of(b"%s %s %s" % (epoch, offset, text))
            if found is None:
                continue
            entry, referenced = found
            if referenced:
                payload = await self._nodes.payload(room, entry.id)
                if payload is None:
                    continue  # the next one, or the top, shows the gap
                entry = entry._replace(payload=payload)
            entries.append(entry)
        ids = {}
        for position, found_id in ((after, id_after), (known, id_known)):
            if position is not None and found_id is not None:
                ids[position.offset] = bytes(found_id).decode()
        return Reading(
            int(epoch),
            int(top),
            bytes(id).decode(),
            int(base),
            bytes(base_id).decode(),
            tuple(entries),
            ids,
            bool(more),
            int(clock) / 1000,
            (int(closed_epoch), int(closed_offset)),
        )

    async def raise_epoch(self, room: str, keep: Keep, seen: int, above: int) -> bool:
        """Raises the epoch, if it is `seen`."""
        keys = self._keys
        return bool(
            await self._script(
                room,
                "raise",
                (keys.head(room), keys.stream(room), keys.channel(room)),
                (seen, above, _life(room, keep), self._command),
            )
        )

    async def clear(self, room: str) -> None:
        """Forgets the messages of a room."""
        keys = self._keys
        await self._script(
            room, "clear", (keys.head(room), keys.stream(room), keys.larges(room)), (keys.payload(room, ""),)
        )

    # -- Presence and Leases -------------------------------------------------------------------------------------------

    async def attend(self, room: str, add: Mapping[str, str], remove: Iterable[str]) -> bool:
        """Adds and removes members of this worker."""
        keys, part = self._keys, self._keys.part(room)
        flat = [text for member, info in add.items() for text in (member, info)]
        return bool(
            await self._script(
                room,
                "attend",
                (keys.workers(part), keys.own(part, self._worker), keys.members(room), keys.channel(room)),
                (self._worker, room, self._command, len(add), *flat, *remove),
            )
        )

    def parts_of(self, rooms: Iterable[str]) -> set[int]:
        """The partitions of these rooms."""
        return {self._keys.part(room) for room in rooms}

    async def attending(self, part: int) -> dict[str, list[str]]:
        """What a partition has as this worker's."""
        found: dict[str, list[str]] = {}
        for one in await self._nodes.call(part, "SMEMBERS", self._keys.own(part, self._worker)):
            member, _, room = bytes(one).decode().partition(" ")
            found.setdefault(room, []).append(member)
        return found

    async def members(self, room: str) -> list[Present]:
        """Who is in a room."""
        flat = _flat(await self._call(room, "HGETALL", self._keys.members(room)))
        present = []
        for member, value in zip(flat[::2], flat[1::2], strict=True):
            worker, _, info = bytes(value).decode().partition(" ")
            present.append(Present(bytes(member).decode(), worker, info))
        return present

    async def count(self, room: str) -> int:
        """How many are in a room."""
        return int(await self._call(room, "HLEN", self._keys.members(room)))

    async def register(self, part: int, lease: float) -> bool:
        """Registers this worker, or renews its lease."""
        keys = (self._keys.workers(part),)
        return bool(await self._script_at(part, "register", keys, (self._worker, int(lease * 1000))))

    async def workers(self, part: int) -> list[str]:
        """The workers whose leases have not run out."""
        found = await self._script_at(part, "workers", (self._keys.workers(part),), ())
        return [bytes(worker).decode() for worker in found]

    async def expired(self, part: int) -> list[Expired]:
        """The workers whose leases have run out."""
        flat = await self._script_at(part, "expired", (self._keys.workers(part),), (self._worker,))
        return [
            Expired(part, bytes(worker).decode(), bytes(until).decode())
            for worker, until in zip(flat[::2], flat[1::2], strict=True)
        ]

    async def reap(self, expired: Expired) -> bool:
        """Removes a worker with its members, if its lease is still that one."""
        return await self._reap(expired.part, expired.worker, expired.until)

    async def resign(self, part: int) -> None:
        """Removes this worker with its members."""
        await self._reap(part, self._worker, "")

    async def answer(self, part: int, question: str, text: str) -> None:
        """This worker's answer to a question."""
        await self._script_at(part, "answer", (self._keys.answers(part, question),), (self._worker, text, ANSWER_LIFE))

    async def answers(self, part: int, question: str) -> dict[str, str]:
        """The answers to a question."""
        flat = _flat(await self._nodes.call(part, "HGETALL", self._keys.answers(part, question)))
        return {bytes(one).decode(): bytes(text).decode() for one, text in zip(flat[::2], flat[1::2], strict=True)}

    async def _reap(self, part: int, worker: str, until: str) -> bool:
        keys = self._keys
        own = (keys.workers(part), keys.own(part, worker))
        rest = (worker, until, self._command, keys.all_members(part), keys.channels(part))
        return bool(await self._script_at(part, "reap", own, rest))

    # -- asking --------------------------------------------------------------------------------------------------------

    async def _call(self, room: str, *command: Any) -> Any:
        return await self._nodes.call(self._keys.part(room), *command)

    async def _script(self, room: str, name: str, keys: tuple[str, ...], rest: tuple[Any, ...]) -> Any:
        return await self._script_at(self._keys.part(room), name, keys, rest)

    async def _script_at(self, part: int, name: str, keys: tuple[str, ...], rest: tuple[Any, ...]) -> Any:
        return await self._nodes.call(part, "EVALSHA", sha(name), len(keys), *keys, *rest)


def _life(room: str, keep: Keep) -> int:
    """When the position of a room that nobody uses is forgotten: later than all else that is kept of it."""
    return IDENTITY_LIFE if is_of_identity(room) else max(HEAD_LIFE, int(keep.ttl * 2000) if keep.history else 0)


def _flat(answer: Any) -> list[Any]:
    """A hash, as names and values in turn."""
    return [part for pair in answer.items() for part in pair] if isinstance(answer, dict) else answer
