"""STOMP × rooms over a broker: workers share topics and identities, with headers; rooms with history go on."""

from __future__ import annotations

from typing import Any

import pytest

import realtime
from realtime.brokers.messages import decoded, encoded
from realtime.core.frames import Outgoing
from realtime.stomp.messages import as_outgoing

from ..stomp.place import client
from ..web.place import serving

each_broker = pytest.mark.parametrize("broker", ["memory", "tcp"], indirect=True)


def worker(broker: Any) -> realtime.Server:
    """One of several."""
    rt = realtime.Server(broker=broker, shutdown_timeout=0.3)
    rt.configure_rooms("/topic/kept/*", history=4)
    stomp = realtime.STOMP()

    @stomp.connect
    async def connect(client: realtime.StompClient) -> str | None:
        return client.login

    @stomp.on("/app/me", reply="/user/queue/me")
    async def me(client: realtime.StompClient, message: realtime.StompMessage) -> str:
        return "you"

    rt.endpoint("/stomp")(stomp)
    return rt


@each_broker
async def test_topics_and_identities_of_all_workers(broker: Any) -> None:
    async with serving(worker(broker)) as here, serving(worker(broker)) as there:
        one, other = await client(here), await client(there)
        for each in (one, other):
            await each.connect(login="ada")
            await each.subscribe("/topic/a")
            await each.subscribe("/user/queue/me", "1")
        peer, session = await there.parked("websocket")
        await session.join("/topic/a")
        await one.send("SEND", {"destination": "/topic/a", "foo": "bär"}, b"\xff")
        for each in (one, other):
            assert (await each.expect("MESSAGE", foo="bär", subscription="0")).body == b"\xff"
        assert await peer.news() == b"\xff"
        await here.rt.room("/topic/a").send("text")
        for each in (one, other):
            await each.expect("MESSAGE", content_type="text/plain")
        await one.send("SEND", {"destination": "/app/me"})
        for each in (one, other):
            assert (await each.expect("MESSAGE", destination="/user/queue/me")).body == b"you"
        for place in (here, there):  # before either looks whether nothing is left
            for client_of_it in place.peers:
                await client_of_it.drop()
            place.end_sessions()
            await place.stop()


@each_broker
async def test_a_room_with_history_goes_on_where_a_client_was(broker: Any) -> None:
    async with serving(worker(broker)) as place:
        room = place.rt.room("/topic/kept/a")
        for text in "123":
            await room.send(text)
        one = await client(place)
        await one.connect()
        await one.send("SUBSCRIBE", {"id": "0", "destination": "/topic/kept/a", "history": "2"})
        messages = [await one.expect("MESSAGE") for _ in range(2)]
        assert [each.body for each in messages] == [b"2", b"3"]
        await one.done("UNSUBSCRIBE", {"id": "0"})
        await one.done("SEND", {"destination": "/topic/kept/a", "foo": "bar"}, "4")
        after = messages[0].headers["cursor"]
        await one.send(
            "SUBSCRIBE", {"id": "1", "destination": "/topic/kept/a", "after": after, "ack": "client-individual"}
        )
        assert [(await one.expect("MESSAGE", subscription="1")).body for _ in range(2)] == [b"3", b"4"]
        await room.send("5")
        message = await one.expect("MESSAGE")
        await one.done("ACK", {"id": message.headers["ack"]})
        await one.send("SUBSCRIBE", {"id": "2", "destination": "/topic/a", "history": "1"})
        await one.refused("messages")


@pytest.mark.parametrize("destination", ["/topic/a", "/queue/a"])
async def test_a_broker_that_is_away(broker_is_away: str, destination: str) -> None:
    rt = realtime.Server(broker=broker_is_away, broker_timeout=0.05, shutdown_timeout=0.3)
    rt.endpoint("/stomp")(realtime.STOMP())
    async with serving(rt) as place:
        for command in ("SEND", "SUBSCRIBE"):
            one = await client(place)
            await one.connect()
            await one.send(command, {"id": "0", "destination": destination})
            await one.refused("come back later")


@pytest.fixture
def broker_is_away() -> str:
    """Nobody listens there."""
    return "redis://127.0.0.1:9"


def test_how_headers_are_carried() -> None:
    item = as_outgoing(b"text", {"a": "b"})
    found = decoded(encoded(item, frozenset(("x",))))
    assert found is not None
    assert (found[0].data, found[0].about, found[1]) == ("text", '{"a":"b"}', frozenset(("x",)))
    plain = decoded(encoded(Outgoing.message("text"), frozenset()))
    assert plain is not None
    assert plain[0].about == ""
    for wrong in (b'm{"skip":[],"about":1}\n', b'm{"skip":[]}\n', b'm{"about":""}\n', b'm{"skip":[1],"about":""}\n'):
        assert decoded(wrong) is None
