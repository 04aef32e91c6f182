"""What each frame of a client asks for: by the version that was agreed on, and by what the client has asked for before.

    (nothing) ──CONNECT, STOMP──> connected ──DISCONNECT──> left

What is to be done is told as acts, in order: those of a transaction when it is committed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeAlias, TypeVar

from ....core.errors import RemoteProtocolError
from .deliveries import AUTO, CLIENT, INDIVIDUAL, Deliveries, Subscription
from .frames import V10, V11, V12, VERSIONS, Frame, size_of
from .handshake import HeartBeat, choose_version
from .messages import passed_on
from .transactions import Transactions

__all__ = ["Act", "Connect", "Conversation", "Leave", "Limits", "Send", "Settle", "Subscribe", "Unsubscribe"]

T = TypeVar("T")

SHOWN = 64
_MODES = {V10: (AUTO, CLIENT), V11: (AUTO, CLIENT, INDIVIDUAL), V12: (AUTO, CLIENT, INDIVIDUAL)}
_IN_TRANSACTIONS = ("SEND", "ACK", "NACK")


class Limits(NamedTuple):
    """What one client may have open at a time."""

    max_subscriptions: int = 256
    max_unacknowledged: int = 1024
    max_transactions: int = 16
    max_transaction_size: int = 1_048_576


class Connect(NamedTuple):
    """The client wants to be let in."""

    version: str
    login: str | None
    passcode: str | None
    host: str | None
    heart_beat: HeartBeat
    headers: dict[str, str]


class Send(NamedTuple):
    """A message for a destination, with the headers that belong to it."""

    destination: str
    headers: dict[str, str]
    body: bytes
    reply_to: str | None


class Subscribe(NamedTuple):
    """The client wants what is sent to a destination."""

    subscription: Subscription


class Unsubscribe(NamedTuple):
    """It wants that no more."""

    subscription: Subscription


class Settle(NamedTuple):
    """The client has taken the message of this number, and in mode "client" all before, or has not (`accepted`)."""

    number: int
    accepted: bool


class Leave(NamedTuple):
    """The client has said goodbye."""


Act: TypeAlias = Send | Subscribe | Unsubscribe | Settle | Leave


class Conversation(Generic[T]):
    """One client's. What is behind a message that has to be acknowledged is a T."""

    __slots__ = ("_connected", "_left", "_limits", "_subscriptions", "deliveries", "transactions", "version")

    def __init__(self, limits: Limits) -> None:
        self.version: str = V12
        self.deliveries: Deliveries[T] = Deliveries(limits.max_unacknowledged)
        self.transactions: Transactions[Act] = Transactions(limits.max_transactions, limits.max_transaction_size)
        self._limits = limits
        self._subscriptions: dict[str, Subscription] = {}
        self._connected = False
        self._left = False

    @property
    def subscriptions(self) -> tuple[Subscription, ...]:
        """What the client is subscribed to."""
        return tuple(self._subscriptions.values())

    # -- connecting ----------------------------------------------------------------------------------------------------

    def connect(self, frame: Frame) -> Connect:
        """The first frame. Raises RemoteProtocolError (1002) for one that is no CONNECT, and where no version is
        common."""
        if frame.command not in ("CONNECT", "STOMP"):
            raise RemoteProtocolError(1002, f"the first frame has to be a CONNECT, not a {frame.command}")
        headers = dict(frame.headers)
        accepted = headers.get("accept-version")
        version = choose_version(accepted)
        if version is None:
            raise RemoteProtocolError(1002, f"Supported protocol versions are {' '.join(VERSIONS)}")
        if version == V10:  # whose specification pads its examples
            headers = {name.strip(): value.strip() for name, value in headers.items()}
        self.version, self._connected = version, True
        return Connect(
            version,
            headers.get("login"),
            headers.get("passcode"),
            headers.get("host"),
            HeartBeat.parse(headers.get("heart-beat")),
            headers,
        )

    # -- what follows --------------------------------------------------------------------------------------------------

    def take(self, frame: Frame) -> Sequence[Act]:
        """What is to be done with a frame. Raises RemoteProtocolError: 1002 for one that may not be sent (like this),
        1008 and 1009 above a limit."""
        command, headers = frame.command, frame.headers
        if not self._connected:
            raise RemoteProtocolError(1002, "a CONNECT comes first")
        if self._left:
            raise RemoteProtocolError(1002, "nothing comes behind a DISCONNECT")
        name = headers.get("transaction")
        if name is not None and command in _IN_TRANSACTIONS:
            self.transactions.add(name, self._act(frame), len(frame.body) + size_of(headers))
            return ()
        if command == "BEGIN":
            self.transactions.begin(self._needed(frame, "transaction"))
            return ()
        if command == "COMMIT":
            return self.transactions.commit(self._needed(frame, "transaction"))
        if command == "ABORT":
            self.transactions.abort(self._needed(frame, "transaction"))
            return ()
        return (self._act(frame),)

    def _act(self, frame: Frame) -> Act:
        command = frame.command
        if command == "SEND":
            destination = self._needed(frame, "destination")
            return Send(destination, passed_on(frame.headers), frame.body, frame.headers.get("reply-to"))
        if command == "SUBSCRIBE":
            return Subscribe(self._subscribe(frame))
        if command == "UNSUBSCRIBE":
            return Unsubscribe(self._unsubscribe(frame))
        if command == "ACK" or (command == "NACK" and self.version != V10):
            return Settle(self._number(frame), command == "ACK")
        if command == "DISCONNECT":
            self._left = True
            return Leave()
        if command == "NACK":
            raise RemoteProtocolError(1002, "STOMP 1.0 has no NACK")
        raise RemoteProtocolError(1002, "the client is connected already")

    def _needed(self, frame: Frame, name: str) -> str:
        found = frame.headers.get(name)
        if not found:
            raise RemoteProtocolError(1002, f"{frame.command} needs the header {name!r}")
        return found

    def _subscribe(self, frame: Frame) -> Subscription:
        destination = self._needed(frame, "destination")
        mode = frame.headers.get("ack", AUTO)
        if mode not in _MODES[self.version]:
            raise RemoteProtocolError(1002, f"ack is one of {', '.join(_MODES[self.version])}, not {mode[:SHOWN]!r}")
        if "selector" in frame.headers:  # who gets more than was asked for might take what is another's
            raise RemoteProtocolError(1002, "there are no selectors here: subscribe to a destination of their own")
        key, id = self._key(frame)
        if key in self._subscriptions:
            raise RemoteProtocolError(1002, f"there is a subscription {(id or destination)[:SHOWN]!r} already")
        most = self._limits.max_subscriptions
        if len(self._subscriptions) >= most:
            raise RemoteProtocolError(1008, f"more than {most} subscriptions (max_subscriptions)")
        subscription = self._subscriptions[key] = Subscription(key, id, destination, mode, dict(frame.headers))
        return subscription

    def _unsubscribe(self, frame: Frame) -> Subscription:
        key, id = self._key(frame)
        subscription = self._subscriptions.pop(key, None)
        if subscription is None:
            named = id or frame.headers["destination"]
            raise RemoteProtocolError(1002, f"there is no subscription {named[:SHOWN]!r}")
        return subscription

    def _key(self, frame: Frame) -> tuple[str, str]:
        """By what a subscription is known: its id, or in 1.0 its destination."""
        id = frame.headers.get("id")
        if id is None and self.version == V10:
            return f"to {self._needed(frame, 'destination')}", ""
        id = self._needed(frame, "id")
        return f"id {id}", id

    def _number(self, frame: Frame) -> int:
        """Which message an ACK or NACK is about."""
        said = self._needed(frame, "id" if self.version == V12 else "message-id")
        number = int(said) if said.isascii() and said.isdigit() and len(said) < 20 else 0
        if not self.deliveries.was_given(number):
            raise RemoteProtocolError(1002, f"there is no message {said[:SHOWN]!r} to be acknowledged")
        found = self.deliveries.find(number)
        if self.version == V11:
            id = self._needed(frame, "subscription")
            if found is not None and found[0].id != id:
                raise RemoteProtocolError(
                    1002, f"the message {said[:SHOWN]!r} is none of the subscription {id[:SHOWN]!r}"
                )
        return number
