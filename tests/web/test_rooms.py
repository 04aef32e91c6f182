"""Messages of rooms with history and their positions, on the wire of every transport (docs/protocol.md §3.5)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

import realtime
from realtime.core.cursors import MAX_CURSORS
from realtime.core.frames import Outgoing, RoomItem

from ..history import HistoryRoom
from ..patience import within
from .peer import HttpPeer, Peer, StreamPeer, WebSocketPeer
from .place import Place, serving
from .proof import GETS

pytestmark = pytest.mark.usefixtures("quiet_log")

VECTORS = Path(__file__).parents[1] / "vectors"
OPENS: list[dict[str, Any]] = json.loads((VECTORS / "opens.json").read_text("ascii"))
TEXT = 'é\u2028 😀 \x00 \\ " </script> ,%2C'


async def joined(place: Place, transport: str, **changes: Any) -> tuple[Peer, realtime.Session]:
    """A client at /park whose open says this, too, and its session."""
    peer = place.peer(transport, "/park")
    await peer.open(**changes)
    async with within():
        return peer, await place.sessions.get()


async def test_a_message_and_its_position_are_one_frame(place: Place, transport: str) -> None:
    peer, session = await joined(place, transport, rooms={})
    room = HistoryRoom("a,b 100%é")
    room.join(session)
    room.send(TEXT)
    room.send(b"\x00\x01\xff")
    await session.send("plain")
    room.send("not for this one", skip=[session])
    await session.send(b"plain")
    session._offer_position(room.name, "2.7.y", 3)
    room.epoch = 2
    room.send("")
    name = "a%2Cb 100%25é"
    assert await peer.take(7) == [
        f"h{name},1.0.x",
        f"h{name},1.1.x,m{TEXT}",
        f"h{name},1.2.x,bAAH/",
        "mplain",
        f"h{name},2.7.y,d3",  # of one room there is never more than one position without a message
        b"plain",
        f"h{name},2.4.x,m",
    ]


async def test_who_does_not_say_rooms_gets_plain_messages(place: Place, transport: str) -> None:
    peer, session = await joined(place, transport)
    room = HistoryRoom("chat")
    room.join(session)
    room.send(TEXT)
    room.send("not for this one", skip=[session])
    room.send(b"\x00\x01\xff")
    session._offer_position("chat", "2.7.y", 3)
    session._offer_position("chat", "2.7.y", 0)  # one at least
    room.send("")
    assert await peer.take(4) == ["m" + TEXT, b"\x00\x01\xff", "d4", "m"]
    assert session._cursor_of("chat") is None


async def test_a_cut_in_the_middle_loses_and_repeats_nothing(place: Place, transport: str) -> None:
    """Each carrier is dropped with some frames read, and some on their way."""
    peer, session = await joined(place, transport, rooms={})
    room = HistoryRoom("chat")
    room.join(session)
    heard: list[str | bytes] = []
    for number in range(30):
        room.send(str(number))
        room.send(b"%d" % number)
        room.send("skipped", skip=[session])
        if number % 6 == 5:
            heard += await peer.take(3)
            heard += [frame for frame in peer.unread if frame[:1] == "h"]
            peer.unread.clear()
            await peer.drop()
            await peer.resume()
    while heard[-1] != "hchat,1.90.x":
        heard.append(await peer.news())
    cursors = [int(str(frame).split(",")[1].split(".")[1]) for frame in heard]
    assert cursors == sorted(set(cursors))
    messages = [str(frame).split(",", 2)[2] for frame in heard if str(frame).count(",") > 1]
    assert messages[::2] == [f"m{number}" for number in range(30)]
    assert len(messages) == 60


async def test_members_share_what_was_encoded() -> None:
    """Two forms: for those who say `rooms`, and for the others."""
    async with serving() as place:
        peers = [
            *[await joined(place, "websocket", rooms={}) for _ in range(3)],
            *[await joined(place, "websocket") for _ in range(3)],
        ]
        item = RoomItem("chat", "1.1.x", Outgoing.message("hello"))
        for _, session in peers:
            session._offer_room(item)
        said = [await peer.news() for peer, _ in peers]
        assert said == ["hchat,1.1.x,mhello"] * 3 + ["mhello"] * 3
        assert len(item.encoded) == len(item.plain.encoded) == 1


# -- cursors in an open ----------------------------------------------------------------------------------------------


async def test_cursors_come_in_a_body_or_a_first_frame(place: Place, transport: str) -> None:
    rooms = {f"{number:02}" + "x" * 254: "c" * 94 for number in range(MAX_CURSORS)}
    peer = place.peer(transport, "/park", auth="so that the open is a frame" if transport == "websocket" else None)
    if transport in GETS:
        assert isinstance(peer, HttpPeer)
        await peer.open_by_poll(rooms=rooms)
    else:
        await peer.open(rooms=rooms)
    async with within():
        session = await place.sessions.get()
    for name, cursor in rooms.items():
        assert [session._cursor_of(name), session._cursor_of(name)] == [cursor, None]
    assert session._cursor_of("another") is None


@pytest.mark.parametrize("transport", ["websocket", *sorted(GETS)])
async def test_cursors_do_not_stand_in_a_url(place: Place, transport: str) -> None:
    peer = place.peer(transport, "/park")
    text = json.dumps(peer.open_object(rooms={"chat": "1.2.x"}))
    if isinstance(peer, WebSocketPeer):
        await peer.connect("?open=" + quote(text))
        said = [await peer.news()]
    else:
        assert isinstance(peer, HttpPeer)
        said = list((await peer.refused("o" + text)).frames)
    assert said == ["x4400,carrier,,cursors do not belong in a URL: open by POST, a form, or a WebSocket's frame"]
    assert len(place.rt) == 0


@pytest.mark.parametrize("transport", ["websocket", "polling", "xhr_streaming"])
async def test_cursors_that_are_none(place: Place, transport: str) -> None:
    """Each of the vectors: a sentence and 4400, and no session; or a session."""
    refused = 0
    for vector in OPENS:
        if '"rooms"' not in vector["frame"] or vector["from"] != "client" or "\\ud800" in json.dumps(vector["frame"]):
            continue
        peer = place.peer(transport, "/park")
        if isinstance(peer, WebSocketPeer):
            await peer.connect()
            await peer.ws.send_str(vector["frame"])
            async with within():
                said = str(await peer.read())
        elif isinstance(peer, StreamPeer):
            response = await peer.request(vector["frame"])
            async with within():
                line = (await response.content.readline()).decode()
                while line.strip() == "":
                    line = (await response.content.readline()).decode()
            assert response.status == {4400: 400, 4413: 413, None: 200}[vector.get("error")]
            response.close()
            said = json.loads(line)[0]
        else:
            assert isinstance(peer, HttpPeer)
            answer = await peer.refused(vector["frame"])
            assert answer.status == {4400: 400, 4413: 413, None: 200}[vector.get("error")]
            said = answer.frames[0]
        if "error" in vector:
            refused += 1
            assert said.startswith(f"x{vector['error']},carrier,,"), vector["name"]
            assert len(said) > 40
        else:
            assert said.startswith("o{"), vector["name"]
        await peer.drop()
    assert refused > 12


async def test_of_several_opens_the_first_ones_cursors_count(place: Place) -> None:
    peer = place.polls("/park", "polling")
    peer.acking = False
    await peer.open(rooms={"chat": "1"})
    peer.unread.clear()
    await peer.open(rooms={"chat": "2"})
    async with within():
        session = await place.sessions.get()
    assert session._cursor_of("chat") == "1"
    assert len(place.rt) == 1


async def test_a_client_says_nothing_of_rooms(place: Place) -> None:
    """`h` from a client is a frame that nobody knows."""
    peer = place.websocket()
    await peer.open(rooms={})
    await peer.send("mone")
    await peer.ws.send_str("hchat,1.2.x,mtwo")
    await peer.ws.send_str("h")
    await peer.send("mthree")
    assert await peer.take(2) == ["mone", "mthree"]


# -- slow clients ----------------------------------------------------------------------------------------------------


async def test_positions_of_a_client_that_is_away_take_no_room() -> None:
    async with serving(max_outbox=8, on_full="close") as place:
        peer, session = await joined(place, "websocket", rooms={})
        peer.acking = False
        rooms = [HistoryRoom(name) for name in ("a", "b", "c")]
        for room in rooms:
            room.join(session)
        for _ in range(500):
            for room in rooms:
                room.send("skipped", skip=[session])
        rooms[0].send("the last")
        assert len(session._machine.outbox) <= 8
        assert await peer.take(4) == [*[f"h{name},1.500.x" for name in "abc"], "ha,1.501.x,mthe last"]


async def test_what_waits_beside_a_full_outbox_comes_when_there_is_room() -> None:
    async with serving(max_outbox=4) as place:
        peer, session = await joined(place, "websocket", rooms={})
        assert isinstance(peer, WebSocketPeer)
        peer.acking = False
        room = HistoryRoom("a")
        room.join(session)
        for number in range(3):
            room.send(str(number))
        assert [await peer.news() for _ in range(4)][-1] == "ha,1.3.x,m2"
        session._offer_position("b", "5", 2)
        session._offer_position("b", "6", 1)
        session._offer_position("c", "7")
        session._offer_position("d", "8")
        await session.leave("d")
        assert len(session._machine.outbox) == 4
        await peer.send("a4,4")
        assert await peer.take(2) == ["hb,6,d3", "hc,7"]


async def test_a_gap_that_waits_goes_before_the_next_message_of_its_room() -> None:
    async with serving(max_outbox=4) as place:
        peer, session = await joined(place, "websocket", rooms={})
        peer.acking = False
        for number in range(4):
            await session.send(str(number))
        assert await peer.take(4) == ["m0", "m1", "m2", "m3"]
        for room in ("a", "b"):
            session._offer_position(room, "5", 2)
        for room in ("a", "b", "b"):  # beyond what is sent one message waits, and the gap in front of it
            session._offer_room(RoomItem(room, "6", Outgoing.message("six")))
        await peer.send("a4,4")
        assert await peer.take(4) == ["ha,5,d2", "ha,6,msix", "d2", "hb,5,d2"]
        session._offer_room(RoomItem("a", "7", Outgoing.message("seven")))
        await peer.send("a8,8")
        assert await peer.news() == "ha,7,mseven"


async def test_nothing_of_a_room_goes_behind_a_close() -> None:
    """Neither the gap that waits, nor the message that would be beyond the limits."""
    async with serving(max_outbox=4) as place:
        peer, session = await joined(place, "websocket", rooms={})
        peer.acking = False
        for number in range(4):
            await session.send(str(number))
        assert await peer.take(4) == ["m0", "m1", "m2", "m3"]
        session._offer_position("a", "5", 2)
        session._machine.close(1000, "bye", session._now())
        kept = len(session._machine.outbox)
        session._offer_room(RoomItem("a", "6", Outgoing.message("six")))
        assert (len(session._machine.outbox), session._machine.outbox.dropped) == (kept, 0)
        await peer.send("a4,4")


async def test_where_full_is_the_end_a_gap_does_not_change_that() -> None:
    async with serving(max_outbox=4, on_full="close") as place:
        peer, session = await joined(place, "websocket", rooms={})
        peer.acking = False
        for number in range(4):
            await session.send(str(number))
        session._offer_position("a", "5", 2)
        assert not session.closed
        session._offer_room(RoomItem("a", "6", Outgoing.message("six")))
        assert session.close_code == 1008
        session._offer_position("a", "7", 2)
        session._offer_position("b", "7")
        session._offer_room(RoomItem("a", "8", Outgoing.message("eight")))
        assert await peer.end() == (1008, "x")


@pytest.mark.parametrize("says", [True, False])
async def test_what_a_join_reads_waits_for_room(says: bool) -> None:
    """More than the outbox takes, whatever the endpoint does with slow consumers."""
    async with serving(max_outbox=4, on_full="drop_oldest") as place:
        peer, session = await joined(place, "long_polling", **({"rooms": {}} if says else {}))
        session._offer_position("a", "0")

        async with within():
            reading = realtime.loops.begin(read_history(session), "history")
            heard: list[str] = []
            while len(heard) < 50:
                frame = await peer.news()
                if str(frame) != "ha,0":
                    heard.append(str(frame))
            await reading
        assert heard == [f"ha,{number},m{number}" if says else f"m{number}" for number in range(1, 51)]


async def read_history(session: realtime.Session) -> None:
    """Fifty messages, one after the other."""
    for number in range(1, 51):
        await session._give_room(RoomItem("a", str(number), Outgoing.message(str(number))))
