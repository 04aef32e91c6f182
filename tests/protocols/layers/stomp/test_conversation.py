"""What each frame asks for, by version and state; a machine of transactions, subscriptions and acknowledgements."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from realtime.core.errors import RemoteProtocolError
from realtime.protocols.layers.stomp.conversation import (
    Act,
    Connect,
    Conversation,
    Leave,
    Limits,
    Send,
    Settle,
    Subscribe,
    Unsubscribe,
)
from realtime.protocols.layers.stomp.deliveries import Subscription
from realtime.protocols.layers.stomp.frames import V10, V11, V12, VERSIONS, Frame
from realtime.protocols.layers.stomp.handshake import HeartBeat

LIMITS = Limits(max_subscriptions=2, max_unacknowledged=3, max_transactions=2, max_transaction_size=2600)


def conversation(version: str = V12, limits: Limits = LIMITS) -> Conversation[str]:
    """One whose client is connected."""
    made: Conversation[str] = Conversation(limits)
    made.connect(Frame("CONNECT", {"accept-version": version}))
    return made


def frame(command: str, body: bytes = b"", **headers: str) -> Frame:
    """A frame; the underscores in the headers' names are hyphens."""
    return Frame(command, {name.replace("_", "-"): value for name, value in headers.items()}, body)


def subscribed(found: Any) -> Subscription:
    """The subscription that a frame has made."""
    (act,) = found
    assert isinstance(act, Subscribe)
    return act.subscription


def refused(some: Conversation[str], sent: Frame, match: str, code: int = 1002) -> None:
    """The frame may not be sent."""
    with pytest.raises(RemoteProtocolError, match=match) as caught:
        some.take(sent)
    assert caught.value.close_code == code


# -- connecting ------------------------------------------------------------------------------------------------------


def test_connecting() -> None:
    some: Conversation[str] = Conversation(LIMITS)
    headers = {"accept-version": "1.1,1.2", "host": "h", "login": " a ", "passcode": "p", "heart-beat": "1,2"}
    assert some.connect(Frame("STOMP", headers)) == Connect(V12, " a ", "p", "h", HeartBeat(1, 2), headers)
    assert some.version == V12
    old: Conversation[str] = Conversation(LIMITS)
    assert old.connect(Frame("CONNECT", {" login": " a "})) == Connect(
        V10, "a", None, None, HeartBeat(), {"login": "a"}
    )
    refused(some, frame("CONNECT"), "connected already")
    refused(some, frame("STOMP"), "connected already")


def test_no_other_beginning() -> None:
    some: Conversation[str] = Conversation(LIMITS)
    refused(some, frame("SEND", destination="/a"), "CONNECT comes first")
    with pytest.raises(RemoteProtocolError, match="has to be a CONNECT, not a SEND"):
        some.connect(frame("SEND"))
    with pytest.raises(RemoteProtocolError, match=r"versions are 1\.0 1\.1 1\.2"):
        some.connect(frame("CONNECT", accept_version="3"))
    with pytest.raises(RemoteProtocolError, match="heart-beat"):
        some.connect(frame("CONNECT", heart_beat="x"))


def test_nothing_comes_behind_the_end() -> None:
    some = conversation()
    assert some.take(frame("DISCONNECT", receipt="1")) == (Leave(),)
    refused(some, frame("SEND", destination="/a"), "nothing comes behind")


# -- sending and subscribing -----------------------------------------------------------------------------------------


def test_sending() -> None:
    some = conversation()
    sent = frame("SEND", b"x", destination="/a", receipt="1", foo="bar", reply_to="/b")
    assert some.take(sent) == (Send("/a", {"foo": "bar", "reply-to": "/b"}, b"x", "/b"),)
    refused(some, frame("SEND"), "SEND needs the header 'destination'")


@pytest.mark.parametrize("version", VERSIONS)
def test_subscriptions(version: str) -> None:
    some = conversation(version)
    one = subscribed(some.take(frame("SUBSCRIBE", id="0", destination="/a", ack="client", x="y")))
    assert (one.id, one.destination, one.mode, one.headers["x"]) == ("0", "/a", "client", "y")
    refused(some, frame("SUBSCRIBE", id="0", destination="/b"), "subscription '0' already")
    assert subscribed(some.take(frame("SUBSCRIBE", id="1", destination="/a"))).mode == "auto"
    refused(some, frame("SUBSCRIBE", id="2", destination="/a"), "max_subscriptions", 1008)
    assert [each.id for each in some.subscriptions] == ["0", "1"]
    assert some.take(frame("UNSUBSCRIBE", id="0")) == (Unsubscribe(one),)
    refused(some, frame("UNSUBSCRIBE", id="0"), "no subscription '0'")
    refused(some, frame("SUBSCRIBE", id="2"), "needs the header 'destination'")
    refused(some, frame("SUBSCRIBE", id="2", destination="/a", selector="a = 1"), "no selectors")


def test_without_an_id() -> None:
    old = conversation(V10)
    one = subscribed(old.take(frame("SUBSCRIBE", destination="/a")))
    assert one.id == ""
    refused(old, frame("SUBSCRIBE", destination="/a"), "subscription '/a' already")
    refused(old, frame("UNSUBSCRIBE", destination="/b"), "no subscription '/b'")
    refused(old, frame("UNSUBSCRIBE"), "needs the header 'destination'")
    assert old.take(frame("UNSUBSCRIBE", destination="/a")) == (Unsubscribe(one),)
    for version in (V11, V12):
        some = conversation(version)
        refused(some, frame("SUBSCRIBE", destination="/a"), "SUBSCRIBE needs the header 'id'")
        refused(some, frame("UNSUBSCRIBE", destination="/a"), "UNSUBSCRIBE needs the header 'id'")


def test_modes() -> None:
    refused(conversation(V10), frame("SUBSCRIBE", destination="/a", ack="client-individual"), "ack is one of")
    refused(conversation(), frame("SUBSCRIBE", id="0", destination="/a", ack="x"), "client-individual, not 'x'")
    some = conversation(V11)
    assert subscribed(some.take(frame("SUBSCRIBE", id="0", destination="/a", ack="client-individual"))).mode == (
        "client-individual"
    )


# -- acknowledging ---------------------------------------------------------------------------------------------------


def given(version: str) -> Conversation[str]:
    """One whose client has a message to acknowledge, number 1."""
    some = conversation(version)
    subscription = subscribed(some.take(frame("SUBSCRIBE", id="0", destination="/a", ack="client")))
    assert some.deliveries.give(subscription, "a") == 1
    return some


def test_acknowledging_by_version() -> None:
    assert given(V10).take(frame("ACK", message_id="1")) == (Settle(1, True),)
    refused(given(V10), frame("NACK", message_id="1"), r"1\.0 has no NACK")
    assert given(V11).take(frame("ACK", message_id="1", subscription="0")) == (Settle(1, True),)
    assert given(V11).take(frame("NACK", message_id="1", subscription="0")) == (Settle(1, False),)
    assert given(V12).take(frame("ACK", id="1")) == (Settle(1, True),)
    assert given(V12).take(frame("NACK", id="1")) == (Settle(1, False),)


def test_what_is_not_acknowledged() -> None:
    refused(given(V12), frame("ACK", message_id="1"), "ACK needs the header 'id'")
    refused(given(V11), frame("ACK", message_id="1"), "ACK needs the header 'subscription'")
    refused(given(V11), frame("ACK", message_id="1", subscription="2"), "none of the subscription '2'")
    for number in ("2", "0", "-1", "x", "١", "9" * 5000):
        refused(given(V12), frame("ACK", id=number), "no message")
    some = given(V11)
    some.deliveries.settle(1)
    assert some.take(frame("ACK", message_id="1", subscription="0")) == (Settle(1, True),)  # again: settles nothing


# -- transactions ----------------------------------------------------------------------------------------------------


def test_a_transaction() -> None:
    some = given(V12)
    assert some.take(frame("BEGIN", transaction="t")) == ()
    assert some.take(frame("SEND", b"1", destination="/a", transaction="t")) == ()
    assert some.take(frame("ACK", id="1", transaction="t")) == ()
    assert some.take(frame("COMMIT", transaction="t")) == [Send("/a", {}, b"1", None), Settle(1, True)]
    refused(some, frame("COMMIT", transaction="t"), "no transaction 't'")
    some.take(frame("BEGIN", transaction="t"))
    some.take(frame("SEND", b"1", destination="/a", transaction="t"))
    assert some.take(frame("ABORT", transaction="t")) == ()
    assert some.transactions.size == 0


def test_what_is_wrong_in_a_transaction() -> None:
    some = given(V12)
    for command in ("BEGIN", "COMMIT", "ABORT"):
        refused(some, frame(command), f"{command} needs the header 'transaction'")
    refused(some, frame("SEND", destination="/a", transaction="t"), "no transaction 't'")
    some.take(frame("BEGIN", transaction="t"))
    refused(some, frame("ACK", id="7", transaction="t"), "no message '7'")
    refused(some, frame("SEND", transaction="t"), "destination")
    refused(some, frame("SEND", b"x" * 2600, destination="/a", transaction="t"), "max_transaction_size", 1009)
    assert subscribed(some.take(frame("SUBSCRIBE", id="1", destination="/a", transaction="t"))).id == "1"


class Talking(RuleBasedStateMachine):
    """Frames in any order against a model: what is subscribed, what waits, and what was given."""

    names = st.sampled_from("abc")

    def __init__(self) -> None:
        super().__init__()
        self.real: Conversation[int] = Conversation(LIMITS)
        self.subscriptions: dict[str, str] = {}
        self.open: dict[int, str] = {}
        self.given = 0
        self.waiting: dict[str, list[Act]] = {}

    @initialize()
    def connect(self) -> None:
        self.real.connect(frame("CONNECT", accept_version="1.2"))

    def ask(self, sent: Frame, fine: bool) -> Any:
        """What a frame gives; it is refused unless it is fine."""
        if fine:
            return self.real.take(sent)
        with pytest.raises(RemoteProtocolError):
            self.real.take(sent)
        return None

    @rule(id=names, mode=st.sampled_from(("client", "client-individual")))
    def subscribe(self, id: str, mode: str) -> None:
        fine = id not in self.subscriptions and len(self.subscriptions) < LIMITS.max_subscriptions
        if self.ask(frame("SUBSCRIBE", id=id, destination="/a", ack=mode), fine):
            self.subscriptions[id] = mode

    @rule(id=names)
    def unsubscribe(self, id: str) -> None:
        found = self.ask(frame("UNSUBSCRIBE", id=id), id in self.subscriptions)
        if found:
            numbers = [number for number, mine in self.open.items() if mine == id]
            assert self.real.deliveries.drop(found[0].subscription) == numbers
            del self.subscriptions[id]
            for number in numbers:
                del self.open[number]

    @rule(id=names)
    def give(self, id: str) -> None:
        subscription = next((one for one in self.real.subscriptions if one.id == id), None)
        if subscription is not None and self.real.deliveries.room:
            self.given += 1
            assert self.real.deliveries.give(subscription, self.given) == self.given
            self.open[self.given] = id

    @rule(number=st.integers(0, 12), command=st.sampled_from(("ACK", "NACK")), transaction=st.none() | names)
    def settle(self, number: int, command: str, transaction: str | None) -> None:
        sent = Frame(command, {"id": str(number)} | ({"transaction": transaction} if transaction else {}))
        fine = 0 < number <= self.given and (transaction is None or transaction in self.waiting)
        found = self.ask(sent, fine)
        if fine and transaction is None:
            self.do(found)
        elif fine and transaction is not None:
            self.waiting[transaction].append(Settle(number, command == "ACK"))

    @rule(transaction=names, body=st.binary(max_size=3))
    def send(self, transaction: str, body: bytes) -> None:
        sent = frame("SEND", body, destination="/a", transaction=transaction)
        fine = transaction in self.waiting and self.real.transactions.size < 1500
        if transaction in self.waiting and not fine:
            return
        if self.ask(sent, fine) == ():
            self.waiting[transaction].append(Send("/a", {}, body, None))

    @rule(name=names, command=st.sampled_from(("BEGIN", "COMMIT", "ABORT")))
    def transact(self, name: str, command: str) -> None:
        fine = name in self.waiting
        if command == "BEGIN":
            fine = not fine and len(self.waiting) < LIMITS.max_transactions
        found = self.ask(frame(command, transaction=name), fine)
        if not fine:
            return
        if command == "BEGIN":
            self.waiting[name] = []
            return
        acts = self.waiting.pop(name)
        assert list(found) == (acts if command == "COMMIT" else [])
        self.do(found)

    def do(self, acts: Any) -> None:
        """What the acts ask for, at both."""
        for act in acts:
            if isinstance(act, Settle):
                id = self.open.get(act.number)
                cumulative = id is not None and self.subscriptions[id] == "client"
                gone = [
                    number
                    for number, mine in self.open.items()
                    if mine == id and (number == act.number or (cumulative and number < act.number))
                ]
                assert self.real.deliveries.settle(act.number) == gone
                for number in gone:
                    del self.open[number]

    @invariant()
    def the_same_is_open(self) -> None:
        assert [one.id for one in self.real.subscriptions] == list(self.subscriptions)
        assert len(self.real.deliveries) == len(self.open)
        assert len(self.real.transactions) == len(self.waiting)


TestTalking = Talking.TestCase
