"""Identities over a broker: the rooms of the server's own, what is told in them, and which closings are news
(docs/scaling.md §11).

What is told to other workers may have more items than are known here: a later version has added them at the end, and
they are passed over. So whoever adds one sees to it that what it says is right without.
"""

from __future__ import annotations

import hashlib
import json
from typing import NamedTuple

from .errors import LocalProtocolError
from .lifecycle import State
from .machine import may_close_with

__all__ = [
    "CLOSINGS",
    "QUESTIONS",
    "RESERVED",
    "SKEW",
    "Closing",
    "Closings",
    "Question",
    "SessionInfo",
    "answered",
    "check_room",
    "is_of_identity",
    "room_of",
    "sessions_in",
]

RESERVED = "\0"  # what the names of the server's own rooms begin with
CLOSINGS = f"{RESERVED}closings"
QUESTIONS = f"{RESERVED}questions"
OF_IDENTITY = f"{RESERVED}identity/"
STATES = frozenset(State)

MOST_KNOWN = 16_384  # closings: more than their room keeps, and what is told again is known
SKEW = 60.0  # seconds by which the clocks of two workers may differ


def check_room(name: object) -> None:
    """Raises TypeError for what names no room, and LocalProtocolError for one that no application may use."""
    if not isinstance(name, str):
        raise TypeError(f"a room is known by a str, not {type(name).__name__}")
    if name[:1] == RESERVED:
        raise LocalProtocolError("a room's name does not begin with a NUL: such rooms are the server's own")


def room_of(identity: str) -> str:
    """The room of an identity. Of any identity: one may be long, or hold what no text may."""
    return OF_IDENTITY + hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:40]


def is_of_identity(room: str) -> bool:
    """Whether it is an identity's."""
    return room.startswith(OF_IDENTITY)


class SessionInfo(NamedTuple):
    """A session of an identity: its `id`, the `path` of its endpoint, the name of the `worker` that has it, and its
    `transport` and `state`, as the session itself says them."""

    id: str
    path: str
    worker: str
    transport: str
    state: State


class Closing(NamedTuple):
    """An identity is closed: what is told to all workers. In seconds: `at`, when, by the clock of who closes, and
    `age`, how long ago that was when it was told."""

    id: str
    identity: str
    code: int
    reason: str
    at: float
    age: float = 0.0

    @property
    def text(self) -> str:
        """As it travels."""
        return json.dumps(self, separators=(",", ":"))

    @classmethod
    def parse(cls, text: str | bytes) -> Closing | None:
        """What has travelled; None for what is none of ours."""
        match _items(text):
            case [
                str(id),
                str(identity),
                int(code),
                str(reason),
                int(at) | float(at),
                int(age) | float(age),
                *_,
            ] if may_close_with(code):
                return cls(id, identity, code, reason, at, age)
        return None


class Question(NamedTuple):
    """Which sessions of an identity are there? Told to all workers."""

    id: str
    identity: str

    @property
    def text(self) -> str:
        """As it travels."""
        return json.dumps(self, separators=(",", ":"))

    @classmethod
    def parse(cls, text: str | bytes) -> Question | None:
        """What has travelled; None for what is none of ours."""
        match _items(text):
            case [str(id), str(identity), *_]:
                return cls(id, identity)
        return None


def answered(sessions: list[SessionInfo]) -> str:
    """An answer to a question, as it travels. Its worker is known."""
    return json.dumps([[one.id, one.path, one.transport, one.state] for one in sessions], separators=(",", ":"))


def sessions_in(answer: str, worker: str) -> list[SessionInfo]:
    """What has travelled; what is none of ours is passed over."""
    found = []
    for one in _items(answer):
        match one:
            case [str(id), str(path), str(transport), str(state), *_] if state in STATES:
                found.append(SessionInfo(id, path, worker, transport, State(state)))
    return found


def _items(text: str | bytes) -> list[object]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return []
    return found if isinstance(found, list) else []


class Closings:
    """Those that a worker has heard of, with how many sessions each has ended there. It began at `began`, by its
    clock."""

    def __init__(self, began: float) -> None:
        self._began = began
        self._known: dict[str, int] = {}

    def concerns(self, closing: Closing, lived: float) -> bool:
        """It was told just now, to a worker that has lived for so many seconds. Whether it is news, and not older than
        that: it has to be done here. Whose clock is right does not matter."""
        return closing.id not in self._known and closing.age <= lived + SKEW

    def missed(self, closing: Closing) -> bool:
        """The same of one that was told at some time, and not heard: by the clocks of who closes and of this worker."""
        return closing.id not in self._known and closing.at >= self._began - SKEW

    def done(self, id: str, ended: int) -> None:
        """It was done here."""
        self._known[id] = ended
        if len(self._known) > MOST_KNOWN:
            del self._known[next(iter(self._known))]

    def ended(self, id: str) -> int | None:
        """How many sessions it has ended here; None if it was not done."""
        return self._known.get(id)
