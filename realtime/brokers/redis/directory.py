"""The directory of a cluster, over Redis: workers and their leases in one slot, a name's claim in the slot of the name,
a worker's tombstones in that of its own name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from ...core.claims import Claim
from ...core.leases import Ended, Known, Peer
from ...core.proof import Key
from .nodes import Nodes
from .scripts import Keys, ms, sha

__all__ = ["RedisDirectory"]

KNOWN = 3_600_000  # ms for which a worker is known behind its lease
MET_LIFE = 7 * 86_400_000  # ms for which it is known when a run of the store was met first
HELD_LIFE = 3_600_000  # ms for which counts are kept that nobody changes
BATCH = 128  # tombstones of one script
WORKERS = 0  # the part that has the workers


class RedisDirectory:
    """Workers, names and tombstones, as one worker uses them."""

    def __init__(self, nodes: Nodes, keys: Keys) -> None:
        self._nodes = nodes
        self._keys = keys

    # -- workers -------------------------------------------------------------------------------------------------------

    async def enlist(self, peer: Peer, lease: float) -> bool:
        """Registers a worker, or renews its lease."""
        return bool(await self._workers("enlist", *peer, int(lease * 1000), KNOWN))

    async def strike(self, peer: Peer) -> None:
        """The worker has left."""
        await self._workers("strike", peer.worker, peer.incarnation)

    async def find(self, worker: str) -> Known:
        """What is known of a worker."""
        answer = await self._workers("find", worker)
        return Known(_peer(worker, answer[0]), int(answer[1]) / 1000) if answer else Known()

    async def living(self) -> list[Peer]:
        """The workers whose leases run."""
        flat = await self._workers("living")
        return [_peer(_text(worker), peer) for worker, peer in zip(flat[::2], flat[1::2], strict=True)]

    async def _workers(self, name: str, *rest: Any) -> Any:
        return await self._script(WORKERS, name, (self._keys.leases(WORKERS), self._keys.peers(WORKERS)), rest)

    # -- names ---------------------------------------------------------------------------------------------------------

    async def met(self, part: int, known: bool) -> float:
        """How long ago the run that has this part was met first."""
        run, age = self._nodes.run_at(part), self._nodes.age_at(part)
        rest = (run, 0 if known else int(age * 1000), MET_LIFE)
        return int(await self._script(part, "met", (self._keys.met(part),), rest)) / 1000

    def home(self, name: str) -> int:
        """The partition of a name."""
        return self._keys.part(_hashed(name))

    async def claim(self, name: str, claim: Claim, life: float, may: bool) -> Claim | None:
        """Claims a name; who has it then."""
        return _claim(await self._name(name, "claim", *claim, ms(life), int(may)))

    async def release(self, name: str, sid: str) -> None:
        """The name is given back."""
        await self._name(name, "release", sid)

    async def keep(self, name: str, claim: Claim, life: float) -> bool:
        """Claims a name for a session that has begun, or for longer."""
        return await self.claim(name, claim, life, True) == claim

    async def holder(self, name: str) -> Claim | None:
        """Who has a name."""
        hashed = _hashed(name)
        return _claim(await self._nodes.call(self._keys.part(hashed), "GET", self._keys.claim(hashed)))

    async def _name(self, name: str, script: str, *rest: Any) -> Any:
        hashed = _hashed(name)
        return await self._script(self._keys.part(hashed), script, (self._keys.claim(hashed),), rest)

    # -- counts --------------------------------------------------------------------------------------------------------

    async def hold(self, key: str, worker: str, count: int) -> dict[str, int]:
        """A worker has so many; how many each has."""
        hashed = _hashed(key)
        part = self._keys.part(hashed)
        flat = await self._script(part, "hold", (self._keys.held(hashed),), (worker, count, HELD_LIFE))
        return {_text(one): int(number) for one, number in zip(flat[::2], flat[1::2], strict=True)}

    # -- tombstones ----------------------------------------------------------------------------------------------------

    async def bury(self, worker: str, ended: Mapping[str, tuple[Ended, float]]) -> None:
        """Keeps how sessions have ended."""
        every = list(ended.items())
        for begin in range(0, len(every), BATCH):
            batch = every[begin : begin + BATCH]
            flat = [part for _, (one, life) in batch for part in (_written(one), ms(life))]
            keys = tuple(self._keys.ended(worker, sid) for sid, _ in batch)
            await self._script(self._keys.part(worker), "bury", keys, flat)

    async def ended(self, sid: str) -> Ended | None:
        """How this session has ended."""
        worker = sid.partition(".")[0]
        answer = await self._nodes.call(self._keys.part(worker), "GET", self._keys.ended(worker, sid))
        if answer is None:
            return None
        code, received, key, reason = _text(answer).split(" ", 3)
        return Ended(int(code), reason, int(received), Key(key))

    async def _script(self, part: int, name: str, keys: tuple[str, ...], rest: Any) -> Any:
        return await self._nodes.call(part, "EVALSHA", sha(name), len(keys), *keys, *rest)


def _hashed(name: str) -> str:
    """Clients choose some names, and some are secrets."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


def _text(answer: Any) -> str:
    return bytes(answer).decode("utf-8", "surrogatepass")


def _peer(worker: str, answer: Any) -> Peer:
    incarnation, _, address = _text(answer).partition(" ")
    return Peer(worker, incarnation, address)


def _claim(answer: Any) -> Claim | None:
    if not answer:
        return None
    sid, _, digest = _text(answer).partition(" ")
    return Claim(sid, digest)


def _written(ended: Ended) -> bytes:
    text = f"{ended.code} {ended.received} {ended.key!s} {ended.reason}"
    return text.encode("utf-8", "surrogatepass")
