"""A client's subscriptions, as rooms and queues know them: each makes MESSAGE frames of what it is given.

What many are sent is made once for all whose subscriptions have the same id, which most clients count from 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from ..core.errors import RemoteProtocolError
from ..core.frames import BINARY, KEPT, TEXT, Group, Outgoing, RoomItem
from ..protocols.layers.stomp.conversation import Conversation
from ..protocols.layers.stomp.deliveries import AUTO, Subscription
from ..protocols.layers.stomp.frames import V12
from ..protocols.layers.stomp.messages import own_part, shared_part
from ..session import Session
from .bound import Bound
from .guarded import GuardedQueues
from .messages import headers_of, written
from .queues import Parcel

__all__ = ["Home", "QueueMember", "TopicMember"]

# A client's wish for fewer messages at a time than it may have unacknowledged.
PREFETCH = "prefetch-count"
# Of a message so many are kept beside it, for subscriptions of other ids: most clients have the same few.
MOST_SHARED = 64
# Of a queue's messages, which are kept as KEPT ones are, and told by it from other frames among what is to be sent.
QUEUED = KEPT + 1


class Home(Protocol):
    """The connection of a client, which its subscriptions share."""

    bound: Bound
    queues: GuardedQueues
    session: Session
    conversation: Conversation[Parcel | None]
    queued: int  # so many messages of queues were put into its session's outbox

    def spoke(self) -> None:
        """Something was sent."""

    def given(self, number: int) -> None:
        """A message of a queue was given, and is to be acknowledged."""

    def fail(self, code: int, reason: str, receipt: str | None = None) -> None:
        """Tells the client what is wrong, and ends the session."""


class TopicMember:
    """A subscription in a room: see broadcasts.Receiver."""

    __slots__ = ("__weakref__", "_home", "id", "room", "subscription")

    def __init__(self, home: Home, subscription: Subscription, room: str, id: str) -> None:
        self.id: str = id
        self.room: str = room
        self.subscription: Subscription = subscription
        self._home = home

    def _message(self, item: Outgoing, plain: Outgoing) -> Outgoing | None:
        """What of this is sent; None where no more is."""
        if self.subscription.mode == AUTO:
            return self._shared(item, plain)
        deliveries = self._home.conversation.deliveries
        if deliveries.room <= 0:
            most = self._home.bound.limits.max_unacknowledged
            self._home.fail(1008, f"more than {most} messages are not acknowledged (max_unacknowledged)")
            return None
        number = str(deliveries.give(self.subscription, None))
        return written(self._own(number, number) + self._rest(item, plain))

    def _shared(self, item: Outgoing, plain: Outgoing) -> Outgoing:
        made: dict[str, Any] = item.encoded
        key = f"stomp {self._home.conversation.version} {self.subscription.id}"
        message: Outgoing | None = made.get(key)
        if message is None:
            id = made.get("stomp id")
            if id is None:
                id = made["stomp id"] = self._home.bound.number()
            message = written(self._own(id, None) + self._rest(item, plain))
            if len(made) < MOST_SHARED:
                made[key] = message
        return message

    def _own(self, id: str, number: str | None) -> bytes:
        version = self._home.conversation.version
        return own_part(version, self.subscription.id, id, number if version == V12 else None)

    def _rest(self, item: Outgoing, plain: Outgoing) -> bytes:
        version, made = self._home.conversation.version, item.encoded
        key = f"stomp {version}"
        rest = made.get(key)
        if rest is None:
            headers = headers_of(plain)
            if isinstance(item, RoomItem):
                headers["cursor"] = item.cursor
            body = plain.data if isinstance(plain.data, bytes) else plain.data.encode()
            rest = made[key] = shared_part(version, self.subscription.destination, headers, body)
        assert isinstance(rest, bytes)
        return rest

    # -- see broadcasts.Receiver ---------------------------------------------------------------------------------------

    def _offer(self, item: Outgoing) -> None:
        message = self._message(item, item)
        if message is not None:
            self._home.session._offer(message)
            self._home.spoke()

    def _offer_group(self, group: Group) -> None:
        """Events are none of STOMP's."""

    def _miss(self, count: int) -> None:
        self._home.session._miss(count)

    def _offer_room(self, item: RoomItem) -> None:
        if isinstance(item.plain, Group):
            return
        message = self._message(item, item.plain)
        if message is not None:
            self._home.session._offer(message)
            self._home.spoke()

    def _offer_position(self, room: str, cursor: str, missing: int | None = None) -> None:
        if missing is not None:
            self._home.session._miss(max(1, missing))

    async def _give_room(self, item: RoomItem) -> None:
        session = self._home.session
        session._check_member()
        if isinstance(item.plain, Group):
            return
        message = self._message(item, item.plain)
        if message is None:
            session._check_member()
        elif session._machine.unfit(message):
            session._offer(message)
        else:
            await session._wait_and_put(message.size, (message,))
            self._home.spoke()

    def _left(self, room: str) -> None:
        self._home.session._left(room)

    def _check_member(self) -> None:
        self._home.session._check_member()


class QueueMember:
    """A subscription to a queue: see queues.Consumer."""

    def __init__(self, home: Home, subscription: Subscription) -> None:
        """Raises RemoteProtocolError (1002) for a `prefetch-count` that is none."""
        self.subscription: Subscription = subscription
        self._home = home
        self._most = _prefetch(subscription, home.bound.limits.max_unacknowledged)
        self._asked = False  # it is told when the session has sent something
        self._full = False  # there was no room for a message, or one waited too long, and nothing was sent since
        # In mode "auto": what may not have been sent yet, by what it is sent as.
        self._sent: dict[Outgoing, Parcel] = {}
        self.over: bool = False
        self.settled: int = 0  # the highest place of what its client has acknowledged, or refused

    @property
    def client(self) -> object:
        """See queues.Consumer."""
        return self._home

    @property
    def room(self) -> int:
        """See queues.Consumer."""
        session, deliveries = self._home.session, self._home.conversation.deliveries
        machine = session._machine
        if self.over or self._full or machine.outcome is not None or machine.closing is not None:
            return 0
        room = 0 if session._senders else machine.config.max_outbox - len(machine.outbox)
        if room <= 0:  # whatever has taken it: ready() is told when there is some
            self._ask()
        if self.subscription.mode != AUTO:
            room = min(room, deliveries.room, self._most - deliveries.count(self.subscription))
        return max(0, room)

    def take(self, parcel: Parcel) -> bool:
        """See queues.Consumer."""
        home, subscription = self._home, self.subscription
        session, deliveries = home.session, home.conversation.deliveries
        machine = session._machine
        auto = subscription.mode == AUTO
        if self.over or machine.outcome is not None or machine.closing is not None:
            return False
        if not auto and (deliveries.room <= 0 or deliveries.count(subscription) >= self._most):
            return False
        if self._full or session._senders or not machine.outbox.has_room(parcel.size):
            self._wait()
            return False
        version = home.conversation.version
        rest = shared_part(version, subscription.destination, parcel.headers, parcel.body)
        number = None if auto else deliveries.give(subscription, parcel)
        id = home.bound.number() if number is None else str(number)
        acknowledge = id if number is not None and version == V12 else None
        own = own_part(version, subscription.id, id, acknowledge, redelivered=parcel.attempts > 1)
        message = written(own + rest, QUEUED)
        if machine.unfit(message):  # bytes, for who takes text alone
            if number is not None:
                deliveries.withdraw(number)
            home.queues.refuse(parcel)
            return True
        if number is None:
            self._sent[message] = parcel
            self._ask()
        else:
            home.given(number)
        session._put((message,))
        home.queued += 1
        parcel.place = home.queued
        home.spoke()
        return True

    def late(self, parcel: Parcel) -> None:
        """This one was not acknowledged in time, and is given again. Where it was not even written it does not count,
        and its client, which does not read, takes no more before it does."""
        if parcel.place > self._written():
            parcel.attempts -= 1
            self._wait()

    def _wait(self) -> None:
        self._full = True
        self._home.session._ask_for_room()
        self._ask()

    def _ask(self) -> None:
        """Has it told when the session has sent something."""
        if not self._asked:
            self._asked = True
            self._home.session._listener.when_progressed(self._progressed)

    def _progressed(self, _: object) -> None:
        self._asked = self._full = False
        if not self.over:
            self._forget_sent()
            if self._sent:
                self._ask()
            self._home.queues.ready(self.subscription.destination, self)

    def _forget_sent(self) -> None:
        """Settles what the client's session has sent; looks at it only when much of it may be that."""
        if len(self._sent) > 2 * len(self._home.session._machine.outbox):
            kept = self._unsent()
            for message, parcel in tuple(self._sent.items()):
                if message not in kept:
                    del self._sent[message]
                    self._home.queues.settle(parcel, accepted=True)

    def _unsent(self) -> set[Outgoing]:
        outbox = self._home.session._machine.outbox
        return {*outbox._sent, *outbox.waiting}

    def _written(self) -> int:
        """The place of what was written to its connection last. Messages of topics may be dropped; these are not."""
        waiting = self._home.session._machine.outbox.waiting
        return self._home.queued - sum(item.code == QUEUED and item.kind in (TEXT, BINARY) for item in waiting)

    def end(self) -> None:
        """The subscription has ended: it is given no more."""
        self.over = True
        self._home.queues.unsubscribe(self.subscription.destination, self)

    def give_back(self, *, over: bool) -> None:
        """In mode "auto": where its session is over, what was not sent by then is for others, and the rest was taken.
        Otherwise all will be sent."""
        kept = self._unsent() if over else set()
        sent, self._sent = self._sent, {}
        self._count([parcel for message, parcel in sent.items() if message in kept])
        for message, parcel in sent.items():
            self._home.queues.settle(parcel, accepted=message not in kept)

    def count(self) -> None:
        """The session is over: how often what is not acknowledged counts as given. What was never written does not."""
        self._count([each for each in self._home.conversation.deliveries.of(self.subscription) if each is not None])

    def _count(self, parcels: Iterable[Parcel]) -> None:
        """These may have been on their way when the session was cut: what is behind all that its client has
        acknowledged, but for the first of that, counts once, however often that happens."""
        written, first = self._written(), True
        for parcel in parcels:
            if parcel.place > written:
                parcel.attempts -= 1
            elif parcel.place > self.settled:
                if not first:
                    parcel.attempts = max(1, parcel.attempts - 1)
                first = False


def _prefetch(subscription: Subscription, most: int) -> int:
    """How many unacknowledged messages the subscription wants at a time. Raises RemoteProtocolError (1002)."""
    said = subscription.headers.get(PREFETCH)
    if said is None:
        return most
    if not (said.isascii() and said.isdigit() and len(said) < 10 and int(said)):
        raise RemoteProtocolError(1002, f"{PREFETCH} is a number of messages, not {said[:32]!r}")
    return min(int(said), most)
