"""Every limit has its ERROR; slow clients, and a client that says all kinds of things."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import realtime
from realtime.core.frames import Outgoing
from realtime.protocols.layers.stomp.conversation import Limits
from realtime.protocols.layers.stomp.deliveries import AUTO, Deliveries, Subscription
from realtime.protocols.layers.stomp.frames import V12
from realtime.stomp import members
from realtime.stomp.messages import as_outgoing

from ..patience import eventually
from .place import Client, client, stomp_of, stomping


async def subscribe_twice(one: Client) -> None:
    """One too many."""
    for id in "01":
        await one.send("SUBSCRIBE", {"id": id, "destination": "/topic/a"})


async def begin_twice(one: Client) -> None:
    """One too many."""
    for name in "ab":
        await one.send("BEGIN", {"transaction": name})


async def transact(one: Client) -> None:
    """Too much."""
    await one.send("BEGIN", {"transaction": "a"})
    await one.send("SEND", {"destination": "/topic/a", "transaction": "a"}, "x" * 1000)


async def acknowledge_nothing(one: Client) -> None:
    """Too many messages that are not acknowledged."""
    await one.send("SUBSCRIBE", {"id": "0", "destination": "/topic/a", "ack": "client"})
    for _ in range(2):
        await one.send("SEND", {"destination": "/topic/a"}, "x")
    await one.expect("MESSAGE")


async def long_body(one: Client) -> None:
    """Too long."""
    await one.send("SEND", {"destination": "/topic/a"}, "x" * 1001)


async def many_headers(one: Client) -> None:
    """Too many."""
    await one.send("SEND", {"destination": "/topic/a", **{str(number): "" for number in range(8)}})


async def long_headers(one: Client) -> None:
    """Too long."""
    await one.send("SEND", {"destination": "/topic/a", "a": "x" * 1024})


@pytest.mark.parametrize(
    ("limits", "exceed"),
    [
        ({"max_subscriptions": 1}, subscribe_twice),
        ({"max_transactions": 1}, begin_twice),
        ({"max_transaction_size": 1000}, transact),
        ({"max_unacknowledged": 1}, acknowledge_nothing),
        ({"max_body_size": 1000}, long_body),
        ({"max_headers": 8}, many_headers),
        ({"max_header_size": 1024}, long_headers),
    ],
)
@pytest.mark.parametrize("kind", ["websocket", "tcp"])
async def test_limits(kind: str, limits: dict[str, int], exceed: Any) -> None:
    made = realtime.STOMP(tcp=("127.0.0.1", 0), **limits)  # type: ignore[arg-type]
    async with stomping(made) as place:
        one = await client(place, kind)
        await one.connect()
        await exceed(one)
        await one.refused(f"({next(iter(limits))})")


async def test_a_slow_subscriber_of_a_topic_loses_messages_and_no_receipts() -> None:
    async with stomping(max_outbox=8, on_full="drop_oldest") as place:
        one, other = await client(place), await client(place)
        for each in (one, other):
            await each.connect()
        await one.subscribe("/topic/a")
        (session,) = [one for one in place.rt.sessions if place.rt._service.sessions.hub.members("/topic/a")][:1]
        for _ in range(200):
            await other.send("SEND", {"destination": "/topic/a"}, "x" * 10)
        await other.done("SEND", {"destination": "/topic/a"}, "last")
        while (await one.expect("MESSAGE")).body != b"last":
            pass
        assert not session.closed


async def test_bound_and_forgotten() -> None:
    """Nothing of a client is left when it has gone."""
    async with stomping() as place:
        for kind in ("websocket", "tcp", "sockjs", "native"):
            one = await client(place, kind)
            await one.connect()
            await one.subscribe("/topic/a")
            await one.subscribe("/queue/a", "1", "client")
            await one.send("DISCONNECT")
            await one.ended()
        await eventually(lambda: not len(place.rt))
        assert place.rt._service.sessions.hub.counts() == (0, 0)
        assert not len(stomp_of(place)._bound.queues)  # type: ignore[arg-type]


PIECES = st.sampled_from(
    (
        b"SEND\ndestination:/topic/a\n\nx\0",
        b"SEND\ndestination:/queue/a\ntransaction:t\n\nx\0",
        b"SUBSCRIBE\nid:0\ndestination:/queue/a\nack:client\n\n\0",
        b"SUBSCRIBE\nid:1\ndestination:/topic/a\n\n\0",
        b"UNSUBSCRIBE\nid:0\n\n\0",
        b"BEGIN\ntransaction:t\n\n\0",
        b"COMMIT\ntransaction:t\n\n\0",
        b"ABORT\ntransaction:t\n\n\0",
        b"ACK\nid:1\n\n\0",
        b"NACK\nid:1\nreceipt:1\n\n\0",
        b"DISCONNECT\nreceipt:2\n\n\0",
        b"\n",
        b"\r\n",
        b"SEND\n",
        b"content-length:5\n",
        b"\0",
        b"\xff",
    )
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(PIECES, max_size=12), st.booleans())
async def test_whatever_is_said(caplog: pytest.LogCaptureFixture, said: list[bytes], whole: bool) -> None:
    caplog.clear()
    async with stomping() as place:
        one = await client(place, "tcp")
        await one.connect()
        data = b"".join(said)
        for piece in [data] if whole else said:
            await one.say(piece)
        await one.drop()
        await eventually(lambda: not len(place.rt))
        assert place.rt._service.sessions.hub.counts() == (0, 0)
    assert not [record for record in caplog.records if record.exc_info]


def test_copies_of_a_message_are_kept_for_few_subscriptions(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a room has sent last may be kept, and each client's subscription may have a name that no other has."""
    monkeypatch.setattr(members, "MOST_SHARED", 4)
    sent: list[Outgoing] = []
    home: Any = SimpleNamespace(
        bound=SimpleNamespace(number=lambda: "n"),
        conversation=SimpleNamespace(version=V12),
        session=SimpleNamespace(_offer=sent.append),
        spoke=lambda: None,
    )
    item = as_outgoing(b"x", {})
    for id in ("a", "b", "c", "a"):
        subscription = Subscription(id, id, "/topic/a", AUTO)
        members.TopicMember(home, subscription, "/topic/a", id)._offer(item)
    assert [b"subscription:a\n" in str(one.data).encode() for one in sent] == [True, False, False, True]
    assert sent[0] is sent[3]
    assert len(item.encoded) == 4  # the id, what all share, and two of the three


@pytest.mark.parametrize(("waiting", "senders"), [(2, 0), (0, 1)])
def test_a_subscription_without_room_is_told_when_there_is_some(waiting: int, senders: int) -> None:
    """Whatever has taken it: queues of all workers ask for no more than there is room for, and did not ask again."""
    progressed: list[Any] = []
    outbox = list(range(waiting))
    machine = SimpleNamespace(outcome=None, closing=None, outbox=outbox, config=SimpleNamespace(max_outbox=2))
    listener = SimpleNamespace(when_progressed=progressed.append)
    session = SimpleNamespace(_machine=machine, _senders=senders, _listener=listener)
    told: list[tuple[str, Any]] = []
    queues = SimpleNamespace(ready=lambda *said: told.append(said))
    home: Any = SimpleNamespace(
        session=session,
        bound=SimpleNamespace(limits=Limits()),
        queues=queues,
        conversation=SimpleNamespace(deliveries=Deliveries[Any](9)),
    )
    member = members.QueueMember(home, Subscription("id 0", "0", "/queue/a", "client"))
    assert (member.room, member.room) == (0, 0)
    assert len(progressed) == 1
    outbox.clear()
    session._senders = 0
    progressed.pop()(None)
    assert told == [("/queue/a", member)]
    assert member.room == 2
    assert not progressed
