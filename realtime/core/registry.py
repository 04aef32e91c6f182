"""The registry of a server: sessions by sid, openings by nonce, tombstones of ended sessions, and limits
(docs/protocol.md §5, §9).

Pure: ids are made elsewhere, time is passed in. Knows machines, not handlers.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from .config import Config
from .errors import Refusal
from .proof import Key, Proof
from .server_machine import ServerMachine
from .shares import Limit

__all__ = ["RETRY_AFTER", "Registry", "Tombstone"]

# Seconds after which to try again where nobody knows when a session will end.
RETRY_AFTER = 10.0
# What the keys of limits begin with.
OF_IDENTITY, FROM_ADDRESS = "i", "a"


class Tombstone(NamedTuple):
    """What is remembered of an ended session."""

    code: int
    reason: str
    received: int
    expires: float
    nonce: str
    binding: object
    used: bool
    key: Key

    def refusal(self) -> Refusal:
        """What a request for the ended session is told."""
        return Refusal(self.code, self.reason, scope="session", received=self.received)


class Registry:
    """All sessions of one server."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.sessions: dict[str, ServerMachine] = {}
        self.tombstones: OrderedDict[str, Tombstone] = OrderedDict()
        self.nonces: dict[str, str] = {}  # nonce → sid, of sessions and tombstones: all others are free
        self._identities: dict[str, ServerMachine | dict[ServerMachine, None]] = {}  # most have one session
        self._addresses: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self.sessions)

    def opened(self, nonce: str, binding: object, now: float) -> ServerMachine | None:
        """The session that this nonce has opened, or None if it opens a new one.

        Raises Refusal when the nonce may not open (again): bound to something else, used, or ended. One that is bound
        to nothing is a name that its client chose: whoever comes by it finds the session, or how it ended.
        """
        self.forget(now)
        sid = self.nonces.get(nonce)
        if sid is None:
            return None
        machine = self.sessions.get(sid)
        if machine is not None:
            if machine.binding == binding and (binding is None or not machine.used):
                return machine
        else:
            tombstone = self.tombstones[sid]
            if tombstone.expires <= now:  # behind one that lives longer: endpoints differ
                return None
            if tombstone.binding == binding and (binding is None or not tombstone.used):
                raise tombstone.refusal()
        raise Refusal(4409, "this nonce has opened a session already; open with a new nonce")

    def of(self, identity: str) -> tuple[ServerMachine, ...]:
        """The sessions of an identity, by their age."""
        found = self._identities.get(identity)
        if found is None:
            return ()
        return tuple(found) if isinstance(found, dict) else (found,)

    def limits(self, identity: str | None, address: str) -> list[Limit]:
        """What is limited, at all workers of a cluster together: the sessions of this identity, and from this
        address."""
        found, config = [], self.config
        limit = config.max_sessions_per_identity
        if limit is not None and identity is not None:
            reason = f"this identity has its {limit} sessions (max_sessions_per_identity); close one first"
            found.append(Limit(OF_IDENTITY + identity, limit, reason))
        limit = config.max_sessions_per_address
        if limit is not None and address:
            reason = f"{address} has its {limit} sessions (max_sessions_per_address); close one first"
            found.append(Limit(FROM_ADDRESS + address, limit, reason))
        return found

    def count(self, key: str) -> int:
        """How many sessions there are of what a Limit's key names."""
        return len(self.of(key[1:])) if key.startswith(OF_IDENTITY) else self._addresses.get(key[1:], 0)

    def counted(self) -> list[str]:
        """The keys of all limits that count anything now."""
        identities = self._identities if self.config.max_sessions_per_identity is not None else ()
        addresses = self._addresses if self.config.max_sessions_per_address is not None else ()
        return [OF_IDENTITY + one for one in identities] + [FROM_ADDRESS + one for one in addresses]

    def check_room(self, identity: str | None, address: str = "") -> None:
        """Raises Refusal when there may be no further session, at all, of this identity or from this address."""
        limit = self.config.max_sessions
        if limit is not None and len(self.sessions) >= limit:
            reason = f"the server has its {limit} sessions (max_sessions); try again later"
            raise Refusal(4429, reason, retry_after=RETRY_AFTER)
        if self.config.max_sessions_per_identity is None and self.config.max_sessions_per_address is None:
            return
        for one in self.limits(identity, address):
            if self.count(one.key) >= one.most:
                raise Refusal(4429, one.reason, retry_after=RETRY_AFTER)

    def add(self, machine: ServerMachine) -> None:
        """Takes in a new session."""
        if self.tombstones:
            self.forget(machine.born)
        self.sessions[machine.sid] = machine
        if machine.nonce:
            self.nonces[machine.nonce] = machine.sid
        if machine.identity is not None:
            self._enlist(machine.identity, machine)
        if machine.address:
            self._addresses[machine.address] = self._addresses.get(machine.address, 0) + 1

    def find(self, sid: str, now: float, proof: Proof | None = None) -> ServerMachine:
        """The session of this sid. Raises Refusal, from its tombstone if there is one.

        Where requests have a `proof`, sessions without a key are not for them, and a tombstone is shown only to who
        could have gone on. (What the proof is worth for a living session, its machine tells.)
        """
        machine = self.sessions.get(sid)
        if machine is not None and (machine.secret or proof is None):
            return machine
        self.forget(now)
        tombstone = self.tombstones.get(sid)
        if tombstone is not None and tombstone.expires > now and (tombstone.key or proof is None):
            if proof is not None and not proof.fits(tombstone.key):
                raise proof.refusal()
            raise tombstone.refusal()
        raise Refusal(4404, "no such session: it never was, or ended too long ago", scope="session")

    def bury(self, machine: ServerMachine, now: float) -> None:
        """Replaces an ended session by its tombstone."""
        if self.sessions.pop(machine.sid, None) is None:
            return
        if machine.identity is not None:
            self._strike(machine.identity, machine)
        if machine.address:
            _count(self._addresses, machine.address, -1)
        assert machine.outcome is not None
        if machine.remembered > 0:
            self.tombstones[machine.sid] = Tombstone(
                machine.outcome.code,
                machine.outcome.reason,
                machine.inbox.received,
                now + machine.remembered,
                machine.nonce,
                machine.binding,
                machine.used,
                machine.key,
            )
        elif self.nonces.get(machine.nonce) == machine.sid:
            del self.nonces[machine.nonce]
        self.forget(now)

    def _enlist(self, identity: str, machine: ServerMachine) -> None:
        found = self._identities.get(identity)
        if found is None:
            self._identities[identity] = machine
        elif isinstance(found, dict):
            found[machine] = None
        else:
            self._identities[identity] = {found: None, machine: None}

    def _strike(self, identity: str, machine: ServerMachine) -> None:
        found = self._identities[identity]
        if isinstance(found, dict):
            del found[machine]
        if found is machine or not found:
            del self._identities[identity]

    def forget(self, now: float) -> None:
        """Drops tombstones that are over, and the oldest where there are too many."""
        tombstones = self.tombstones
        while tombstones:
            sid, oldest = next(iter(tombstones.items()))
            if oldest.expires > now and len(tombstones) <= self.config.max_tombstones:
                break
            del tombstones[sid]
            if self.nonces.get(oldest.nonce) == sid:  # and not of a later session
                del self.nonces[oldest.nonce]


def _count(counts: dict[str, int], key: str, change: int) -> None:
    """Counts, and keeps nothing that is 0."""
    count = counts.get(key, 0) + change
    if count:
        counts[key] = count
    else:
        del counts[key]
