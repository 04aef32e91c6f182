"""What a broker must do: small interfaces, of which one object may have all but the directory and the queues.

Nobody here decides what is lost or repeated: that is core/follower's and its like. A broker asks the store, and says
which of three things happened: an answer, `Refused` (nothing was done), or `Unanswered` (nobody knows).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from ..core.claims import Claim
from ..core.durable.owner import Write
from ..core.durable.record import Record
from ..core.durable.takeover import Notice
from ..core.errors import BrokerError
from ..core.leases import Ended, Known, Peer
from ..core.rooms import Entry, Position, Reading
from .counts import Counts

__all__ = [
    "REPEATS",
    "Broker",
    "Directory",
    "Expired",
    "Health",
    "History",
    "Keep",
    "Leases",
    "Listener",
    "Presence",
    "Present",
    "QueueStore",
    "Records",
    "Refused",
    "Sight",
    "Store",
    "Stores",
    "Taken",
    "Unanswered",
    "overdue",
]


REPEATS = 60.0
"""For so many seconds the id of a publish is remembered, if nothing else is said."""


class Refused(BrokerError):
    """The store was not reached, or refused: nothing was done. Asking again is safe."""


class Unanswered(BrokerError):
    """The store was asked, and no answer came: nobody knows whether it was done."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, maybe_sent=True)


class Unreadable(BrokerError):
    """The store has something that this version cannot read, and another may."""


class Keep(NamedTuple):
    """What is kept of a room: so many messages, for so many seconds after the last; whether it has presence."""

    history: int = 0
    ttl: float = 3600.0
    presence: bool = False


class Present(NamedTuple):
    """A member of a room with presence."""

    member: str
    worker: str
    info: str  # JSON


class Expired(NamedTuple):
    """A worker whose lease has run out in a part of the store, and until when it was."""

    part: int
    worker: str
    until: str


class Health(NamedTuple):
    """How a worker, or its broker, is: whether it is `ready`, since everything is reached and heard, and in words the
    `problems` that it has: also where it is ready, as while a Redis whose disk is full refuses writes."""

    ready: bool
    problems: tuple[str, ...] = ()


class Listener(Protocol):
    """Whom a broker tells what happens."""

    counts: Counts  # where it counts its commands

    def received(self, room: str, entry: Entry) -> None:
        """A message of a room that is subscribed to."""

    def subscribed(self, room: str) -> None:
        """The subscription stands: what is sent from now on comes."""

    def unsubscribed(self, rooms: Iterable[str]) -> None:
        """The subscriptions of these are lost, or may be. They are made again without being asked for."""

    def missed(self, room: str) -> None:
        """Something came that could not be taken, or the room's epoch was raised."""

    def attended(self, room: str) -> None:
        """Who is present in a room has changed, or may have."""

    def returned(self, run: str) -> None:
        """A run of the store answers that did not before."""

    def failed(self) -> None:
        """The store does not answer."""

    async def give_way(self) -> None:
        """Lets others have their turn, and what was received be passed on: called now and then while much comes."""


class Broker(Protocol):
    """Messages to rooms and from them."""

    async def start(self, worker: str, listener: Listener) -> None:
        """Connects, or goes on trying. Called once, in the event loop that everything is used in."""

    async def close(self) -> None:
        """Ends everything that start() began. Harmless before it and twice."""

    def subscribe(self, room: str) -> None:
        """From the confirmation (Listener.subscribed) on, its messages come."""

    def unsubscribe(self, room: str) -> None:
        """They come no more."""

    async def publish(
        self, room: str, keep: Keep, id: str, payload: bytes, ask: bool, life: float = REPEATS
    ) -> Position | None:
        """Publishes, or finds what was published under this id before, which is remembered for `life` seconds; where it
        stands. With `ask` it only finds; None if there is nothing. Raises Refused or Unanswered. Calls are made in the
        order in which they are begun."""

    def run_of(self, room: str) -> str:
        """The run of the store that has this room now; "" while it is not reached."""

    def run_at(self, part: int) -> str:
        """The run of the store that has this part now; "" while it is not reached."""

    async def reached(self, room: str) -> None:
        """Waits until the part of the store that has this room is reached."""

    def health(self) -> Health:
        """How it is."""


class History(Protocol):
    """What is kept of rooms."""

    async def read(
        self, room: str, keep: Keep, after: Position | None, known: Position | None, last: int = 0
    ) -> Reading:
        """Where a room stands, and what follows `after` (above the base, where that is of an earlier epoch; the `last`
        messages, where it is None), with the ids at `after` and `known`. Raises Refused or Unanswered."""

    async def raise_epoch(self, room: str, keep: Keep, seen: int, above: int) -> bool:
        """Raises the epoch above `above`, if it is `seen`; whether it was. Raises Refused or Unanswered."""

    async def clear(self, room: str) -> None:
        """Forgets the messages of a room, and not where it stands. Raises Refused or Unanswered."""


class Presence(Protocol):
    """Who is in which room, by worker."""

    async def attend(self, room: str, add: Mapping[str, str], remove: Iterable[str]) -> bool:
        """Adds and removes members of this worker; False if it is not registered there, and nothing was done."""

    def parts_of(self, rooms: Iterable[str]) -> set[int]:
        """The parts of the store that have these rooms."""

    async def attending(self, part: int) -> dict[str, list[str]]:
        """What a part of the store has as this worker's: members by room."""

    async def members(self, room: str) -> list[Present]:
        """Who is in a room."""

    async def count(self, room: str) -> int:
        """How many are in a room."""


class Leases(Protocol):
    """Whose members are present. A worker registers with each part of the store that it has members in."""

    async def register(self, part: int, lease: float) -> bool:
        """Registers this worker, or renews its lease; whether it was not registered."""

    async def workers(self, part: int) -> list[str]:
        """The workers whose leases have not run out."""

    async def expired(self, part: int) -> list[Expired]:
        """The workers whose leases have run out."""

    async def reap(self, expired: Expired) -> bool:
        """Removes a worker with all its members, if its lease is still that one; whether it was."""

    async def resign(self, part: int) -> None:
        """Removes this worker with all its members: it ends."""

    async def answer(self, part: int, question: str, text: str) -> None:
        """This worker's answer to a question, which is kept for a minute behind the last answer."""

    async def answers(self, part: int, question: str) -> dict[str, str]:
        """The answers to a question, by worker."""

    @property
    def parts(self) -> int:
        """In how many parts the store is."""


class Directory(Protocol):
    """Which workers there are, who has which name, and how sessions have ended whose workers are gone. Each call may
    raise Refused or Unanswered; each may be made again."""

    async def enlist(self, peer: Peer, lease: float) -> bool:
        """Registers a worker for `lease` seconds, or renews that; False where another has its name. Behind its lease a
        worker is known for an hour more, and has its name for so long."""

    async def strike(self, peer: Peer) -> None:
        """The worker has left."""

    async def find(self, worker: str) -> Known:
        """What is known of a worker."""

    async def living(self) -> list[Peer]:
        """The workers whose leases run."""

    async def met(self, part: int, known: bool) -> float:
        """How many seconds ago the first worker met the run of the store that has this part now, and claims may have
        been forgotten there; now, if nobody had. A run that has been there for longer than anybody knows it counts from
        its start, unless it is `known` to this worker already: then it was emptied since."""

    def home(self, name: str) -> int:
        """The part that has a name."""

    async def claim(self, name: str, claim: Claim, life: float, may: bool) -> Claim | None:
        """Claims a name for `life` seconds, if nobody has it and if it `may` be given; or again, if another session of
        the same worker was to have it. Who has it then."""

    async def release(self, name: str, sid: str) -> None:
        """The session of this sid is not to have the name any more; if another has it, nothing happens."""

    async def keep(self, name: str, claim: Claim, life: float) -> bool:
        """Claims a name again for a session that has begun, or for longer; False where another worker has it."""

    async def holder(self, name: str) -> Claim | None:
        """Who has a name."""

    async def hold(self, key: str, worker: str, count: int) -> dict[str, int]:
        """A worker has so many of what is limited; how many each has then. Forgotten an hour after the last change."""

    async def bury(self, worker: str, ended: Mapping[str, tuple[Ended, float]]) -> None:
        """Keeps how sessions of a worker have ended, by sid, each for so many seconds."""

    async def ended(self, sid: str) -> Ended | None:
        """How this session has ended, if its worker has left word."""


class Taken(NamedTuple):
    """A message of a queue that was taken: ids go up, and `times` is how often it was given so far, this
    time included."""

    id: str  # two numbers with a hyphen between them
    payload: bytes
    times: int


class QueueStore(Protocol):
    """Queues of all workers: each message is one worker's at a time, until it is settled. Each call may raise Refused
    or Unanswered; each may be made again."""

    async def put(self, queue: str, id: str, payload: bytes, most: int) -> bool:
        """Puts a message at the end, unless one by this id is there; False where the queue has `most` already."""

    async def take(self, queue: str, worker: str, most: int, idle: float | None) -> list[Taken]:
        """So many at most, which are this worker's from now on: what was given back, what another has and has not kept
        for `idle` seconds (unless that is None), and what nobody has had. Of what such a worker had, the first may have
        been its end, and counts each time; the rest, of which nobody knows who has seen it, counts as given once."""

    async def keep(self, queue: str, worker: str, ids: Sequence[str]) -> None:
        """The worker is there, and these are its own, unless another has them."""

    async def settle(self, queue: str, ids: Sequence[str]) -> None:
        """These are done."""

    async def give_back(self, queue: str, worker: str, given: Sequence[tuple[str, int]]) -> None:
        """These ids are nobody's any more, unless another has them, and keep their places; so often was each given to
        somebody, which is what the next take() counts from."""

    async def count(self, queue: str) -> int:
        """How many messages it holds, those that are some worker's included."""


class Sight(NamedTuple):
    """A durable session as the store has it, and how long ago it was written, in seconds."""

    record: Record
    idle: float


class Records(Protocol):
    """Durable sessions (docs/protocol.md §13.2): a write replaces the one whose id it names, or does nothing. Each
    call may raise Refused or Unanswered, and may be made again: a write under the same id."""

    async def load(self, sid: str) -> Sight | None:
        """What there is of a session. None: nothing, or not any more. Raises Unreadable for what is no record."""

    async def put(self, sid: str, write: Write, life: float, notice: Notice | None = None, to: str = "") -> str:
        """Writes, if the write that it expects is there ("": if none is); the id of the one that is there then. It has
        happened if that is its own. With it `notice` is left for the worker `to`. What has ended, and has published
        all, is forgotten after `life` seconds. All else is due in the index after as many."""

    async def id(self, sid: str) -> str:
        """The id of the write that is there; "" for none."""

    def home(self, sid: str) -> int:
        """The part of the store that has a session."""

    async def notices(self, part: int, worker: str) -> list[Notice]:
        """What was left for a worker in a part of the store, the oldest first, up to a thousand. It stays until it was
        noticed()."""

    async def noticed(self, part: int, worker: str, notices: Sequence[Notice]) -> None:
        """The worker has done what these notices want, in a part of the store."""

    async def due(self, part: int, most: int, longest: float = math.inf) -> list[str]:
        """Sessions of which nobody has written anything for the `life` of their last write, those that waited longest
        first. What would be due in more than `longest` seconds, since the store's clock was set back, is due then."""

    async def postpone(self, sid: str, seconds: float) -> None:
        """A session that is due has an owner: it is due again in so many seconds, if nothing else makes it. One that is
        not there any more is due no more."""


class Store(Broker, History, Presence, Leases, Protocol):
    """All of these."""

    @property
    def queues(self) -> QueueStore:
        """The queues of all workers."""

    @property
    def directory(self) -> Directory:
        """The directory of a cluster."""

    @property
    def records(self) -> Records:
        """Durable sessions."""


class Stores(Protocol):
    """A broker, as an application gives it to a server."""

    @property
    def timeout(self) -> float:
        """After how many seconds without an answer the store counts as away; 0 where it is in this process."""

    def store(self) -> Store:
        """What one worker uses of it, in the event loop that runs."""


class Asked(Protocol):
    """What says how it is."""

    def health(self) -> Health:
        """How it is."""


def overdue(store: Asked, seconds: float, what: str = "no answer from the broker", problem: str = "") -> str:
    """What whoever has waited for a broker for too long is told, with the problem that he has met, or what else is
    known of it."""
    problem = problem or " ".join(store.health().problems) or "the broker does not answer"
    return f"{what} within broker_timeout ({seconds:g} s): {problem}"
