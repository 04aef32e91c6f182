"""STOMP's frames over everything that carries sessions: connecting, topics, receipts, transactions, the end."""

from __future__ import annotations

import pytest

from .place import KINDS, client, stomping

pytestmark = pytest.mark.parametrize("kind", KINDS)


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2"])
async def test_a_topic(kind: str, version: str) -> None:
    async with stomping() as place:
        one, other = await client(place, kind), await client(place)
        connected = await one.connect(version)
        assert connected.headers["session"]
        assert connected.headers.get("heart-beat") == (None if version == "1.0" else "10000,10000")
        await other.connect()
        await one.subscribe("/topic/a")
        await other.subscribe("/topic/a", "x")
        await other.send("SEND", {"destination": "/topic/a", "foo": "b:a\\r", "content-type": "text/plain"}, "hé\0")
        for each, id in ((one, "0"), (other, "x")):
            message = await each.expect("MESSAGE", destination="/topic/a", subscription=id, foo="b:a\\r")
            assert message.body == "hé\0".encode()
            assert message.headers["message-id"]
            assert "ack" not in message.headers
        await one.done("UNSUBSCRIBE", {"id": "0"})
        await one.send("SEND", {"destination": "/topic/a"}, "2")
        await other.expect("MESSAGE")
        await one.send("DISCONNECT", {"receipt": "bye"})
        await one.expect("RECEIPT", receipt_id="bye")
        await one.ended()


async def test_a_transaction(kind: str) -> None:
    async with stomping() as place:
        one = await client(place, kind)
        await one.connect()
        await one.subscribe("/topic/a")
        for name in ("t", "u"):
            await one.send("BEGIN", {"transaction": name})
            await one.send("SEND", {"destination": "/topic/a", "transaction": name}, f"1{name}")
            await one.done("SEND", {"destination": "/topic/a", "transaction": name}, f"2{name}")
        await one.done("ABORT", {"transaction": "t"})
        await one.send("COMMIT", {"transaction": "u"})
        assert [(await one.expect("MESSAGE")).body for _ in range(2)] == [b"1u", b"2u"]


async def test_an_error_ends_the_session(kind: str) -> None:
    async with stomping() as place:
        one = await client(place, kind)
        await one.connect()
        await one.send("SEND", {"receipt": "7"}, "x")
        found = await one.refused("SEND needs the header 'destination'")
        assert found.headers["receipt-id"] == "7"


async def test_who_speaks_no_version_of_it(kind: str) -> None:
    async with stomping() as place:
        one = await client(place, kind)
        await one.send("CONNECT", {"accept-version": "3.0"})
        found = await one.refused("Supported protocol versions are 1.0 1.1 1.2")
        assert found.headers["version"] == "1.0,1.1,1.2"


async def test_a_native_session_in_the_room(kind: str) -> None:
    async with stomping() as place:
        one = await client(place, kind)
        await one.connect()
        await one.subscribe("/topic/a")
        peer, session = await place.parked("websocket")
        await session.join("/topic/a")
        await one.send("SEND", {"destination": "/topic/a", "foo": "bar"}, "hello")
        assert (await one.expect("MESSAGE", foo="bar")).body == b"hello"
        assert await peer.news() == "mhello"
        await place.rt.room("/topic/a").send("from afar")
        assert (await one.expect("MESSAGE", content_type="text/plain")).body == b"from afar"
