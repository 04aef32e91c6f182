"""Queues: one of the subscribers gets each message, in order; it is kept, given again, and bounded."""

from __future__ import annotations

import functools
from types import SimpleNamespace
from typing import Any

import pytest

import realtime
from realtime.protocols.layers.stomp.frames import Frame
from realtime.stomp.guarded import GuardedQueues
from realtime.stomp.queues import Consumer, MemoryQueues, Parcel

from ..patience import eventually
from ..web.place import Place
from .place import Client, WebSocketClient, client, stomp_of, stomping


def queues_of(place: Place) -> MemoryQueues:
    """All queues."""
    queues = stomp_of(place)._bound.queues
    assert isinstance(queues, MemoryQueues)
    return queues


def held(place: Place, queue: str = "/queue/a") -> int:
    """How many messages a queue holds."""
    return queues_of(place).count(queue)


async def connected(place: Place, kind: str = "websocket", version: str = "1.2") -> Client:
    """A client that is in."""
    one = await client(place, kind)
    await one.connect(version)
    return one


async def put(one: Client, *bodies: str, queue: str = "/queue/a") -> None:
    """Sends these, and waits until they are there."""
    for body in bodies:
        await one.done("SEND", {"destination": queue, "n": body}, body)


async def test_kept_while_there_is_nobody_and_then_in_order_to_one_of_all() -> None:
    async with stomping() as place:
        sender = await connected(place)
        await put(sender, "1", "2", "3")
        assert held(place) == 3
        one = await connected(place)
        await one.send("SUBSCRIBE", {"id": "0", "destination": "/queue/a"})
        assert [(await one.expect("MESSAGE", n=n)).body for n in "123"] == [b"1", b"2", b"3"]
        await eventually(lambda: held(place) == 0)
        other = await connected(place)
        await other.subscribe("/queue/a")
        await put(sender, *"abcd")
        assert [(await one.expect("MESSAGE")).body for _ in range(2)] == [b"a", b"c"]
        assert [(await other.expect("MESSAGE")).body for _ in range(2)] == [b"b", b"d"]


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2"])
async def test_cumulative_acknowledgements(version: str) -> None:
    async with stomping() as place:
        one = await connected(place, version=version)
        await one.subscribe("/queue/a", ack="client")
        await put_quietly(one, *"1234")
        messages = [await one.expect("MESSAGE") for _ in range(4)]
        assert held(place) == 4
        await one.done("ACK", about(messages[2], version))
        assert held(place) == 1
        if version != "1.0":
            await one.send("NACK", about(messages[3], version))
            again = await one.expect("MESSAGE", redelivered="true", n="4")
            await one.done("ACK", about(again, version))
            assert held(place) == 0


async def put_quietly(one: Client, *bodies: str) -> None:
    """Sends these to /queue/a."""
    for body in bodies:
        await one.send("SEND", {"destination": "/queue/a", "n": body}, body)


def about(message: Frame, version: str) -> dict[str, str]:
    """The headers of an ACK of this message."""
    if version == "1.2":
        return {"id": message.headers["ack"]}
    assert "ack" not in message.headers
    said = {"message-id": message.headers["message-id"]}
    return said if version == "1.0" else {**said, "subscription": message.headers["subscription"]}


async def test_individual_acknowledgements() -> None:
    async with stomping() as place:
        one = await connected(place)
        await one.subscribe("/queue/a", ack="client-individual")
        await put_quietly(one, *"123")
        first, second, third = [await one.expect("MESSAGE") for _ in range(3)]
        await one.done("ACK", about(second, "1.2"))
        assert held(place) == 2
        await one.send("NACK", about(first, "1.2"))
        assert (await one.expect("MESSAGE", redelivered="true")).body == b"1"
        await one.done("ACK", about(third, "1.2"))
        await one.done("ACK", about(third, "1.2"))  # again: harmless
        assert held(place) == 1
        await one.send("ACK", {"id": "77"})
        await one.refused("no message '77'")


@pytest.mark.parametrize("how", ["drop", "disconnect", "unsubscribe", "error"])
@pytest.mark.parametrize("kind", ["websocket", "tcp", "sockjs"])
async def test_what_was_not_acknowledged_is_for_others_in_its_old_place(how: str, kind: str) -> None:
    async with stomping() as place:
        one, other = await connected(place, kind), await connected(place)
        await one.subscribe("/queue/a", ack="client")
        await put_quietly(other, *"123")
        messages = [await one.expect("MESSAGE") for _ in range(3)]
        await one.done("ACK", about(messages[0], "1.2"))
        await put(other, "4")
        await other.subscribe("/queue/a", ack="client")
        if how == "drop":
            await one.drop()
        else:
            command = {"disconnect": "DISCONNECT", "unsubscribe": "UNSUBSCRIBE", "error": "CONNECT"}[how]
            await one.send(command, {"id": "0"})
        found = [await other.expect("MESSAGE") for _ in range(3)]
        assert [each.body for each in found] == [b"2", b"3", b"4"]
        assert found[0].headers["redelivered"] == "true"


async def test_a_missing_acknowledgement() -> None:
    async with stomping(realtime.STOMP(ack_timeout=0.05, max_deliveries=3, dead_letters="/queue/dead")) as place:
        one = await connected(place)
        await one.subscribe("/queue/a", ack="client-individual")
        await put_quietly(one, "1")
        numbers = [(await one.expect("MESSAGE", n="1")).headers["ack"] for _ in range(3)]
        assert len(set(numbers)) == 3
        await eventually(lambda: held(place, "/queue/dead") == 1)
        assert held(place) == 0
        await one.done("ACK", {"id": numbers[0]})  # too late: harmless


async def test_what_was_not_even_written_in_time_is_for_others_and_was_not_given() -> None:
    async with stomping(realtime.STOMP(max_deliveries=1, ack_timeout=0.02)) as place:
        one, other = await connected(place, "polls"), await connected(place)
        await one.subscribe("/queue/a", ack="client")
        await put(other, "1")  # nobody fetches it
        queue = queues_of(place)._queues["/queue/a"]
        await eventually(lambda: bool(queue.waiting))
        assert queue.full  # it is not tried in a circle
        await other.send("SUBSCRIBE", {"id": "0", "destination": "/queue/a"})
        assert "redelivered" not in (await other.expect("MESSAGE", n="1")).headers


async def test_dead_letters_say_where_they_were() -> None:
    async with stomping(realtime.STOMP(max_deliveries=1, dead_letters="/queue/dead")) as place:
        one = await connected(place)
        await one.subscribe("/queue/a", ack="client")
        await one.send("SEND", {"destination": "/queue/a"}, "x")
        await one.done("NACK", about(await one.expect("MESSAGE"), "1.2"))
        await one.send("SUBSCRIBE", {"id": "1", "destination": "/queue/dead"})
        assert (await one.expect("MESSAGE", original_destination="/queue/a")).body == b"x"


async def test_what_nobody_takes_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    async with stomping(realtime.STOMP(max_deliveries=2)) as place:
        one = await connected(place)
        await one.subscribe("/queue/a", ack="client")
        await one.send("SEND", {"destination": "/queue/a"}, "x")
        for _ in range(2):
            await one.send("NACK", about(await one.expect("MESSAGE"), "1.2"))
        await eventually(lambda: held(place) == 0)
        assert "given 2 times" in caplog.text


async def test_bytes_are_no_message_for_sockjs(caplog: pytest.LogCaptureFixture) -> None:
    async with stomping() as place:
        one, sender = await connected(place, "sockjs"), await connected(place)
        await one.subscribe("/queue/a", ack="client")
        await one.subscribe("/topic/a", "1")
        for destination in ("/queue/a", "/topic/a"):
            await sender.done("SEND", {"destination": destination}, b"\xff")
            await sender.done("SEND", {"destination": destination}, b"text")
        assert [(await one.expect("MESSAGE")).body for _ in range(2)] == [b"text"] * 2
        assert "dropped" in caplog.text


async def test_so_many_at_a_time() -> None:
    async with stomping(realtime.STOMP(max_unacknowledged=3)) as place:
        one = await connected(place)
        await one.subscribe("/queue/a", "0", "client", prefetch_count="2")
        await one.subscribe("/queue/b", "1", "client")
        await put_quietly(one, *"123")
        first = await one.expect("MESSAGE", n="1")
        await one.expect("MESSAGE", n="2")
        await one.send("SEND", {"destination": "/queue/b", "n": "4"}, "4")
        await one.expect("MESSAGE", n="4", subscription="1")
        await one.done("SEND", {"destination": "/queue/b", "n": "5"}, "5")  # there is no room
        await one.send("ACK", about(first, "1.2"))
        assert {(await one.news()).headers["n"]} <= {"3", "5"}
        assert held(place) + held(place, "/queue/b") == 4
        await one.send("SUBSCRIBE", {"id": "2", "destination": "/queue/c", "prefetch-count": "none"})
        await one.refused("prefetch-count is a number")


async def test_room_is_told_for_the_subscription_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many others its client has."""
    async with stomping(realtime.STOMP()) as place:
        one = await connected(place)
        for id, queue in enumerate("aab"):
            await one.subscribe(f"/queue/{queue}", str(id), "client", prefetch_count="1")
        await put_quietly(one, *"123")
        first, _ = [await one.expect("MESSAGE", n=n) for n in "12"]
        told: list[str] = []
        monkeypatch.setattr(queues_of(place), "ready", lambda _, who: told.append(who.subscription.id))
        await one.done("ACK", about(first, "1.2"))
        assert told == [first.headers["subscription"]]


async def test_an_outbox_that_is_full_waits_and_loses_nothing() -> None:
    async with stomping(max_outbox=8) as place:
        sender, one = await connected(place), await connected(place)
        for number in range(100):
            await sender.send("SEND", {"destination": "/queue/a"}, str(number))
        await eventually(lambda: held(place) == 100)
        await one.send("SUBSCRIBE", {"id": "0", "destination": "/queue/a"})
        assert [int((await one.expect("MESSAGE")).body) for _ in range(100)] == list(range(100))
        await eventually(lambda: held(place) == 0)
        await eventually(lambda: len(queues_of(place)) == 1)


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"max_queue_messages": 2}, "holds 2 messages, and takes no more (max_queue_messages)"),
        ({"max_queue_size": 600}, "take no more (max_queue_size)"),
        ({"max_queues": 1}, "1 queues (max_queues)"),
    ],
)
async def test_limits(limits: dict[str, int], words: str) -> None:
    async with stomping(realtime.STOMP(**limits)) as place:  # type: ignore[arg-type]
        one = await connected(place)
        for number in range(3):
            await one.send("SEND", {"destination": f"/queue/{number if 'max_queues' in limits else 0}"}, "x" * 10)
        await one.refused(words)


async def test_acknowledgements_in_a_transaction() -> None:
    async with stomping() as place:
        one = await connected(place)
        await one.subscribe("/queue/a", ack="client-individual")
        await put_quietly(one, *"12")
        first, second = [await one.expect("MESSAGE") for _ in range(2)]
        await one.send("BEGIN", {"transaction": "t"})
        await one.send("ACK", {**about(first, "1.2"), "transaction": "t"})
        await one.done("NACK", {**about(second, "1.2"), "transaction": "t"})
        assert held(place) == 2
        await one.send("COMMIT", {"transaction": "t"})
        await one.expect("MESSAGE", redelivered="true", n="2")
        assert held(place) == 1


async def test_the_application_sends() -> None:
    async with stomping() as place:
        stomp, one = stomp_of(place), await connected(place)
        await stomp.send("/queue/a", {"a": 1})
        await stomp.send("/queue/a", b"\xff", headers={"n": "2"})
        await one.send("SUBSCRIBE", {"id": "0", "destination": "/queue/a"})
        assert (await one.expect("MESSAGE", content_type="application/json")).body == b'{"a":1}'
        assert (await one.expect("MESSAGE", content_type="application/octet-stream", n="2")).body == b"\xff"
        assert isinstance(one, WebSocketClient)
        assert one.kinds == {str, bytes}
        for wrong in ("/app/a", "/foo", "/topic/", ""):
            with pytest.raises(realtime.LocalProtocolError):
                await stomp.send(wrong, "x")


@pytest.mark.parametrize("how", ["ack", "nack", "unsubscribe", "late"])
@pytest.mark.parametrize("other", ["/queue/b", "/topic/b"])
async def test_room_that_one_subscription_makes_is_for_the_others(how: str, other: str) -> None:
    stomp = realtime.STOMP(max_unacknowledged=1, max_deliveries=1, ack_timeout=0.3 if how == "late" else None)
    if how == "late" and other.startswith("/topic/"):
        return  # which has no time to acknowledge in
    async with stomping(stomp) as place:
        one, sender = await connected(place), await connected(place)
        await one.subscribe("/queue/a", "0", "client")
        await one.subscribe(other, "1", "client-individual")
        await sender.send("SEND", {"destination": other}, "first")
        first = await one.expect("MESSAGE", subscription="1")
        await put(sender, "second")
        if how == "unsubscribe":
            await one.send("UNSUBSCRIBE", {"id": "1"})
        elif how != "late":
            await one.send(how.upper(), about(first, "1.2"))
        assert (await one.expect("MESSAGE", subscription="0")).body == b"second"


async def test_what_was_never_sent_was_never_given() -> None:
    async with stomping(realtime.STOMP(max_deliveries=1)) as place:
        one, sender = await connected(place, "polls"), await connected(place)
        await one.subscribe("/queue/a")
        await put(sender, "1")  # nobody fetches it
        (session,) = [each for each in place.rt.sessions if each.transport != "websocket"]
        session._machine.end(1011, "", session._now())
        await eventually(lambda: session.closed)
        await sender.send("SUBSCRIBE", {"id": "0", "destination": "/queue/a"})
        assert "redelivered" not in (await sender.expect("MESSAGE", n="1")).headers


@pytest.mark.parametrize("how", ["late", "over"])
@pytest.mark.parametrize("ack", ["client", "client-individual"])
async def test_what_was_never_written_was_never_given_whatever_was_dropped_behind_it(how: str, ack: str) -> None:
    stomp = realtime.STOMP(max_deliveries=1, ack_timeout=0.3 if how == "late" else None, dead_letters="/queue/dead")
    async with stomping(stomp, max_outbox=4, on_full="drop_oldest") as place:
        one, sender = await connected(place, "polls"), await connected(place)
        await one.subscribe("/queue/a", "0", ack)
        await one.subscribe("/topic/b", "1")
        (session,) = [each for each in place.rt.sessions if each.transport != "websocket"]
        await put(sender, "1")  # nobody fetches it
        for _ in range(20):
            await sender.send("SEND", {"destination": "/topic/b"}, "x")
        await sender.done("SEND", {"destination": "/topic/b"}, "last")
        assert session._machine.outbox.dropped >= 16
        if how == "over":
            session._machine.end(1011, "", session._now())
        else:
            queue = queues_of(place)._queues["/queue/a"]
            await eventually(lambda: bool(queue.waiting) or held(place, "/queue/dead"))
        await sender.send("SUBSCRIBE", {"id": "0", "destination": "/queue/a"})
        assert "redelivered" not in (await sender.expect("MESSAGE", n="1")).headers
        assert not held(place, "/queue/dead")


@pytest.mark.parametrize("kind", ["websocket", "native"])
async def test_what_a_client_has_not_come_to_counts_once_however_often_it_is_cut_off(kind: str) -> None:
    """Each takes one of those that it is given, and is cut off. None is lost, but the one that nobody ever takes."""
    async with stomping(realtime.STOMP(max_deliveries=3, dead_letters="/queue/dead")) as place:
        sender = await connected(place)
        await put(sender, *"123456")

        async def cut(*bodies: str, acks: int = 1) -> None:
            before = set(place.rt.sessions)
            one = await connected(place, kind)
            (session,) = set(place.rt.sessions) - before
            await one.send("SUBSCRIBE", {"id": "0", "destination": "/queue/a", "ack": "client-individual"})
            given = [await one.expect("MESSAGE", n=n) for n in bodies]
            for message in given[:acks]:
                await one.done("ACK", about(message, "1.2"))
            session._machine.end(1006, "", session._now())
            await eventually(lambda: session.closed)

        for left in range(6, 2, -1):
            await cut(*"123456"[-left:])
        await cut("5", "6", acks=0)
        assert held(place, "/queue/dead") == 1
        await cut("6")
        assert held(place) == 0


async def test_selectors_are_refused() -> None:
    async with stomping() as place:
        one = await connected(place)
        await one.send("SUBSCRIBE", {"id": "0", "destination": "/queue/a", "selector": "a = 1"})
        await one.refused("selector")


async def test_messages_that_are_lost_with_the_process_are_told(caplog: pytest.LogCaptureFixture) -> None:
    async with stomping() as place:
        sender = await connected(place)
        await put(sender, "1", "2")
        await place.stop()
        assert "2 messages" in caplog.text


class Faulty(MemoryQueues):
    """An application's queues, which raise where they are told to."""

    faults: tuple[str, ...] = ()

    def __init__(self) -> None:
        super().__init__(max_queues=9, max_messages=9, max_size=9999, max_attempts=None, dead_letters=None)

    def _fault(self, name: str) -> None:
        if name in self.faults:
            raise RuntimeError(f"of {name}")

    async def subscribe(self, destination: str, consumer: Consumer) -> None:
        await super().subscribe(destination, consumer)
        self._fault("subscribe")

    def unsubscribe(self, destination: str, consumer: Consumer) -> None:
        super().unsubscribe(destination, consumer)
        self._fault("unsubscribe")

    def settle(self, parcel: Parcel, *, accepted: bool) -> None:
        super().settle(parcel, accepted=accepted)
        self._fault("settle")

    def ready(self, destination: str, consumer: Consumer | None = None) -> None:
        super().ready(destination, consumer)
        self._fault("ready")

    async def close(self) -> None:
        self._fault("close")


@pytest.mark.parametrize(
    ("fault", "command"),
    [
        ("subscribe", "SUBSCRIBE"),
        ("unsubscribe", "UNSUBSCRIBE"),
        ("unsubscribe", "DISCONNECT"),
        ("settle", "ACK"),
        ("ready", "ACK"),
    ],
)
async def test_queues_that_raise_leave_nothing_half_done(
    fault: str, command: str, caplog: pytest.LogCaptureFixture
) -> None:
    """No receipt for what has failed; no subscription of a session that has ended; and a line in the log."""
    queues = Faulty()
    async with stomping(realtime.STOMP(queues=queues)) as place:
        one, sender = await connected(place), await connected(place)
        for number, destination in enumerate(("/queue/a", "/topic/a", "/queue/b")):
            await one.subscribe(destination, str(number), "client-individual")
        await put(sender, "1", "2")
        messages = [await one.expect("MESSAGE") for _ in range(2)]
        queues.faults = (fault, "close")
        said = {"id": "3", "destination": "/queue/c"} if command == "SUBSCRIBE" else {"id": "0"}
        if command == "ACK":
            said = about(messages[0], "1.2")
        await one.send(command, {**said, "receipt": "r"})
        fails = command != "DISCONNECT" and fault != "ready"
        await one.expect("ERROR" if fails else "RECEIPT", receipt_id="r")
        if command == "ACK" and not fails:
            await one.drop()
        else:
            await one.ended()
        await eventually(lambda: not len(place.rt.room("/topic/a")))
        await eventually(lambda: not any(queue.consumers or queue.full for queue in queues._queues.values()))
    assert "of close" in caplog.text
    assert f"of {fault}" in caplog.text


def test_what_raises_may_have_no_name(caplog: pytest.LogCaptureFixture) -> None:
    def raises(parcel: Parcel) -> None:
        raise RuntimeError("of a partial")

    bound: Any = SimpleNamespace(queues=SimpleNamespace(refuse=functools.partial(raises)))
    nothing: Any = None
    GuardedQueues(bound).refuse(nothing)
    assert "of a partial" in caplog.text
