"""Who is present in rooms, over a store: this worker's members under its leases, mended in sweeps; and other workers'
members removed when their leases have run out (docs/scaling.md §6).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from contextlib import suppress

from ..core.attendance import Attendance, Standing
from ..core.errors import BrokerError, LocalProtocolError
from .base import Store

__all__ = ["Attending", "info_text"]

MAX_INFO = 4096  # bytes of what a member says of itself


class Attending:
    """This worker's part in the presence of rooms. Its leases last `lease` seconds."""

    def __init__(self, store: Store, lease: float) -> None:
        self.here: Attendance = Attendance()
        self.standing: Standing = Standing(asyncio.get_running_loop().time(), lease)
        self._store = store
        self._lease = lease
        self._parts: set[int] = set()  # that this worker is registered with
        self._leaving: dict[str, set[str]] = {}  # by room, whom the store has to forget
        self._resigned = False

    def also(self, part: int) -> None:
        """This worker is to have a lease in this part of the store, whoever is present."""
        self._parts.add(part)

    async def add(self, room: str, member: str, info: str) -> None:
        """A member is in the room. Where that can't be told to the store now, a sweep will."""
        if self.here.add(room, member, info):
            with suppress(BrokerError):
                await self._attend(room, {member: info}, ())

    def remove(self, room: str, member: str) -> bool:
        """A member is not in the room any more; whether tell() has to be called, which tells of all together."""
        if not self.here.remove(room, member):
            return False
        first = not self._leaving
        self._leaving.setdefault(room, set()).add(member)
        return first

    async def tell(self) -> None:
        """Tells the store who has left."""
        leaving, self._leaving = self._leaving, {}
        for room, members in leaving.items():
            gone = members - self.here.members(room).keys()  # who has not come back meanwhile
            if gone:
                with suppress(BrokerError):
                    await self._attend(room, {}, gone)

    async def _attend(self, room: str, add: dict[str, str], remove: Iterable[str]) -> None:
        if not await self._store.attend(room, add, remove):
            for part in self._store.parts_of((room,)):
                await self._register(part)
            # What has gone meanwhile must not come back.
            there = self.here.members(room)
            await self._store.attend(room, {name: info for name, info in add.items() if name in there}, remove)

    async def _register(self, part: int) -> bool:
        if self._resigned:  # what is under way must not bring it back for a lease
            return False
        self._parts.add(part)
        return await self._store.register(part, self._lease)

    async def renew(self) -> None:
        """Renews the leases. Where the store has forgotten one, all is added again."""
        now = asyncio.get_running_loop().time
        asked, every = now(), True
        rooms: dict[int, list[str]] | None = None
        for part in tuple(self._parts):
            try:
                if await self._register(part):
                    rooms = rooms or self._rooms_by_part()
                    await self._mend(part, rooms.get(part, ()))
            except BrokerError:
                every = False
        if every:
            self.standing.renewed(asked, now())

    async def sweep(self) -> None:
        """Compares this worker's members with the store's."""
        rooms = self._rooms_by_part()
        for part in self._parts | rooms.keys():
            with suppress(BrokerError):
                await self._mend(part, rooms.get(part, ()))

    def _rooms_by_part(self) -> dict[int, list[str]]:
        """All rooms with members here, which are asked once where they are: there may be many, and many parts."""
        found: dict[int, list[str]] = {}
        for room in self.here.rooms():
            (part,) = self._store.parts_of((room,))
            found.setdefault(part, []).append(room)
        return found

    async def _mend(self, part: int, rooms: Iterable[str]) -> None:
        """Compares a part of the store with who is here. `rooms` are those with members: of one that has come since,
        its members have been told."""
        stored = await self._store.attending(part)
        for room in {*stored, *rooms}:
            add, remove = self.here.differences(room, stored.get(room, ()))
            if add or remove:
                await self._attend(room, add, remove)

    async def reap(self) -> None:
        """Removes the workers whose leases have run out, if that proves anything now."""
        now = asyncio.get_running_loop().time
        for part in range(self._store.parts):
            if not self.standing.steady(now()):
                return
            with suppress(BrokerError):
                asked = now()
                every = await self._store.expired(part)
                self.standing.took(asked, now())
                for expired in every:
                    if self.standing.steady(now()):
                        await self._store.reap(expired)

    async def resign(self) -> None:
        """This worker ends."""
        self._resigned = True
        await asyncio.gather(*map(self._store.resign, self._parts), return_exceptions=True)


def info_text(info: object) -> str:
    """What a member says of itself, as text. Raises TypeError and LocalProtocolError."""
    if info is not None and not isinstance(info, dict):
        raise TypeError(f"info is a dict, not {type(info).__name__}")
    try:
        text = json.dumps({} if info is None else info, separators=(",", ":"), allow_nan=False)
    except TypeError as error:
        raise TypeError(f"info: takes what JSON has: {error}") from None
    except (ValueError, RecursionError) as error:
        raise LocalProtocolError(f"info: takes what JSON has: {error}") from None
    if len(text) > MAX_INFO:
        raise LocalProtocolError(f"info has {len(text)} bytes of JSON, and may have {MAX_INFO}")
    return text
