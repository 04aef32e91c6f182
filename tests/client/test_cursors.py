"""Rooms with history at the client: what was received last, how far each room was heard, gaps, and going on in another
session (docs/protocol.md §3.5)."""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

import realtime
from realtime.protocols.native import NativeCodec
from realtime.testing import Cut, DropResponse, FaultProxy, KillWebSocket, RepeatRequest

from ..history import HistoryRoom
from ..patience import eventually, within
from .test_client import serving

FAULTS = [
    KillWebSocket(after_frames=60, times=6, end="rst"),
    Cut(match=lambda request: "streaming" in request.target, after_bytes=9000, times=6),
    DropResponse(match=lambda request: "polling" in request.target, skip=2, every=7),
    RepeatRequest(every=3),
]
ALL = ["websocket", "xhr_streaming", "sse", "multipart", "long_polling", "polling"]
each_transport = pytest.mark.parametrize("transport", ALL)
SOON = (0.01, 0.05)  # between two polls


def server_of(*rooms: HistoryRoom, **settings: Any) -> realtime.Server:
    """A server with /rooms, whose sessions are in all these rooms."""
    server = realtime.Server(poll_interval=SOON, **settings)

    @server.endpoint("/rooms")
    async def handle(session: realtime.Session) -> None:
        for room in rooms:
            room.join(session)
        await session.send("joined")
        try:
            async for message in session:
                await session.send(message)
        finally:
            for room in rooms:
                room.leave(session)

    return server


def where(session: realtime.ClientSession) -> tuple[str | None, str | None]:
    """Where the last message came from."""
    return session.last.room, session.last.cursor


@each_transport
async def test_a_message_of_a_room_says_where_it_came_from(transport: str) -> None:
    room = HistoryRoom("chat, 100%")
    room.send("before")
    async with within(), serving(server_of(room)) as url, realtime.connect(f"{url}/rooms", transports=transport) as ada:
        assert where(ada) == (None, None)
        assert await ada.receive() == "joined"
        assert where(ada) == (None, None)
        assert ada.cursors == {"chat, 100%": "1.1.x"}  # a join says where it begins
        messages: list[str | bytes] = ["text é😀", b"\x00\xff", "", b""]
        for number, message in enumerate(messages, 2):
            room.send(message)
            assert await ada.receive() == message
            assert where(ada) == ("chat, 100%", f"1.{number}.x")
            assert ada.cursors == {"chat, 100%": f"1.{number}.x"}
        await ada.send("plain")
        assert await ada.receive() == "plain"
        assert where(ada) == (None, None)
        assert ada.cursors == {"chat, 100%": "1.5.x"}
        assert (ada.gap, ada.dropped) == (None, 0)


async def test_what_waits_is_not_received_yet() -> None:
    room = HistoryRoom("chat")
    async with within(), serving(server_of(room)) as url, realtime.connect(f"{url}/rooms") as ada:
        room.send("one")
        room.send("two", skip=room.members)
        room.send("three")
        await eventually(lambda: len(ada._machine.inbox) == 5 or ada._machine.inbox.received >= 5)
        assert ada.cursors == {"chat": "1.0.x"}
        assert [await ada.receive(), ada.cursors] == ["joined", {"chat": "1.0.x"}]
        assert [await ada.receive(), ada.cursors] == ["one", {"chat": "1.2.x"}]
        assert [await ada.receive(), ada.cursors] == ["three", {"chat": "1.3.x"}]


@each_transport
async def test_who_only_sends_hears_of_what_it_is_not_sent(transport: str) -> None:
    """Nobody has to receive() for that, and nothing fills up."""
    room = HistoryRoom("chat")
    server = realtime.Server(poll_interval=SOON, max_outbox=8)

    @server.endpoint("/silent")
    async def silent(session: realtime.Session) -> None:
        room.join(session)
        async for message in session:
            room.send(message, skip=[session])

    async with (
        within(),
        serving(server) as url,
        realtime.connect(f"{url}/silent", transports=transport, max_queue=16) as ada,
    ):
        for number in range(100):
            await ada.send(str(number))
        await eventually(lambda: ada.cursors == {"chat": "1.100.x"})
        assert len(ada._machine.inbox) == 0


async def test_a_gap_is_told_before_the_next_message() -> None:
    room = HistoryRoom("chat", keep=2)
    async with within(), serving(server_of(room)) as url:
        for number in range(1, 6):
            room.send(str(number))
        async with realtime.connect(f"{url}/rooms", cursors={"chat": "1.1.x"}) as ada:
            told: list[tuple[str, object]] = []
            ada.on_change(lambda event: told.append((event, ada.gap)))
            assert [await ada.receive(), ada.last.cursor] == ["4", "1.4.x"]
            assert ada.gap == ("chat", "1.3.x", 2)
            assert [await ada.receive(), await ada.receive()] == ["5", "joined"]
            room.members[0]._offer_position("chat", "2.0.x", 0)
            await eventually(lambda: ada.cursors == {"chat": "2.0.x"})
            assert ada.gap is not None
            assert (ada.gap.room, ada.gap.cursor, ada.gap.missing) == ("chat", "2.0.x", 0)
            assert told[-1] == ("gap", ada.gap)
            assert ada.dropped == 0


@pytest.mark.parametrize("cursor", ["2.1.x", "rubbish", "1.99.x"])
async def test_a_cursor_that_the_server_does_not_know(cursor: str) -> None:
    room = HistoryRoom("chat")
    room.send("one")
    async with (
        within(),
        serving(server_of(room)) as url,
        realtime.connect(f"{url}/rooms", cursors={"chat": cursor}) as ada,
    ):
        assert [await ada.receive(), await ada.receive()] == ["one", "joined"]
        assert ada.gap == ("chat", "1.0.x", 0)
        assert ada.cursors == {"chat": "1.1.x"}


# -- going on in another session ---------------------------------------------------------------------------------------


@each_transport
async def test_another_session_goes_on_where_the_last_one_was(transport: str) -> None:
    """As a page that is loaded anew does: the cursors were stored as JSON."""
    rooms = HistoryRoom("a"), HistoryRoom("b"), HistoryRoom("é,%")
    opener = "polling" if transport in ("sse", "multipart") else transport  # cursors do not stand in a URL
    async with within(), serving(server_of(*rooms)) as url:
        async with realtime.connect(f"{url}/rooms", transports=transport) as ada:
            assert await ada.receive() == "joined"
            for room in rooms:
                room.send(f"one to {room.name}")
                assert await ada.receive() == f"one to {room.name}"
            rooms[0].send("never received")
            stored = json.dumps(ada.cursors)
        await eventually(lambda: not rooms[0].members)
        for room in rooms:
            room.send(f"two to {room.name}")
        names = list(dict.fromkeys([transport, opener]))
        async with realtime.connect(f"{url}/rooms", transports=names, cursors=json.loads(stored)) as ada:
            assert ada.cursors == json.loads(stored)
            heard = [await ada.receive() for _ in range(5)]
            assert heard == ["never received", "two to a", "two to b", "two to é,%", "joined"]
            assert ada.gap is None
            assert ada.cursors == {"a": "1.3.x", "b": "1.2.x", "é,%": "1.2.x"}


@pytest.mark.parametrize("missed", [0, 2])
async def test_who_can_only_open_by_a_url_is_told_of_a_gap_where_something_is_missing(missed: int) -> None:
    """Cursors do not stand in a URL. One that has lost its session would have no way back."""
    quiet, busy = HistoryRoom("quiet"), HistoryRoom("busy")
    quiet.send("before")
    busy.send("before")
    async with within(), serving(server_of(quiet, busy)) as url:
        sessions = aiter(realtime.connect(f"{url}/rooms", transports=["sse", "multipart"], backoff=SOON))
        async with aclosing(sessions):
            ada = await anext(sessions)
            assert await ada.receive() == "joined"
            await quiet.members[0].close(1012)
            with pytest.raises(realtime.SessionClosed):
                await ada.receive()
            await eventually(lambda: not busy.members)
            for number in range(missed):
                busy.send(f"missed {number}")
            ada = await anext(sessions)
            assert await ada.receive() == "joined"
            cursor = busy.cursor(1 + missed)
            assert ada.cursors == {"quiet": "1.1.x", "busy": cursor}
            assert ada.gap == (("busy", cursor, 0) if missed else None)
            busy.send("more")
            assert await ada.receive() == "more"


async def test_auth_data_are_not_left_out_where_they_cannot_be_said() -> None:
    async with within(), serving(server_of()) as url:
        with pytest.raises(realtime.NegotiationError) as caught:
            async with realtime.connect(
                f"{url}/rooms", transports=["sse", "multipart"], cursors={"a": "1"}, auth="who", open_timeout=2.0
            ):
                pass
        assert set(caught.value.attempts.values()) >= {"not tried: auth data must not stand in a URL"}


@pytest.mark.parametrize("how", ["the server ends it", "the client closes it", "the server closes it"])
async def test_sessions_in_a_row_lose_nothing_and_repeat_nothing(how: str) -> None:
    """Each is ended in the middle: of what was sent some was received, some waits, some is on its way."""
    room, other = HistoryRoom("chat"), HistoryRoom("other")
    rnd = random.Random(how)
    count = 400
    heard: dict[str | None, list[str | bytes]] = {"chat": [], "other": []}
    sessions = 0
    async with within(), serving(server_of(room, other)) as url:

        async def speak() -> None:
            for number in range(count):
                room.send(str(number))
                other.send(b"%d" % number, skip=other.members if number % 3 == 0 else ())
                await asyncio.sleep(0)
                if rnd.random() < 0.04 and how != "the client closes it":
                    members = [*room.members]
                    for session in members:
                        if how == "the server ends it":
                            session._machine.end(4000, "cut", session._now())
                        else:
                            session._machine.close(1001, "cut", session._now())
                    if members and sessions < 4:  # the next one comes while there is something to hear yet
                        await eventually(lambda known=members: {*room.members} - {*known})  # type: ignore[misc]

        async def listen() -> None:
            nonlocal sessions
            async for session in realtime.connect(f"{url}/rooms", transports="websocket", backoff=(0.001, 0.01)):
                sessions += 1
                stop = rnd.randrange(5, 60)
                async for message in session:
                    if message != "joined":
                        heard[session.last.room].append(message)
                    if heard["chat"][-1:] == [str(count - 1)]:
                        return
                    stop -= how == "the client closes it"
                    if not stop:
                        break

        listening = realtime.loops.begin(listen(), "listener")
        await eventually(lambda: room.members)
        await speak()
        await listening
    assert sessions > 3
    # While nobody was there, what would have been skipped was not.
    assert heard["chat"] == [str(number) for number in range(count)]
    numbers = [int(message) for message in heard["other"]]
    assert numbers == sorted(set(numbers))
    assert set(numbers) >= {number for number in range(numbers[-1]) if number % 3}


@pytest.mark.parametrize("transport", ["websocket", "xhr_streaming", "long_polling"])
async def test_cut_carriers_lose_nothing_and_repeat_nothing(transport: str) -> None:
    """Within one session: what is replayed keeps its position."""
    room = HistoryRoom("chat")
    count = 600
    heard: list[tuple[str | bytes, str | None]] = []
    async with within(), serving(server_of(room, ping_interval=0.5, ping_timeout=0.5)) as url:
        port = URL(url).port
        assert port is not None
        async with FaultProxy("127.0.0.1", port) as proxy:
            for fault in FAULTS:
                proxy.add(fault)
            async with realtime.connect(
                f"{proxy.url}/realtime/rooms", transports=transport, backoff=(0.001, 0.01), attach_timeout=20.0
            ) as ada:
                assert await ada.receive() == "joined"
                for number in range(1, count + 1):
                    room.send(str(number) if number % 5 else b"%d" % number)
                    if number % 20 == 0:
                        await ada.send("ping")
                        while (message := await ada.receive()) != "ping":
                            heard.append((message, ada.last.cursor))
                assert (ada.gap, ada.dropped) == (None, 0)
            assert sum(rule.fired for rule in proxy.rules) >= 3
    assert heard == [(str(number) if number % 5 else b"%d" % number, f"1.{number}.x") for number in range(1, count + 1)]


async def test_cursors_of_rooms_that_are_not_joined_are_kept() -> None:
    room = HistoryRoom("a")
    async with (
        within(),
        serving(server_of(room)) as url,
        realtime.connect(f"{url}/rooms", cursors={"b": "7", "a": "1.0.x"}) as ada,
    ):
        assert await ada.receive() == "joined"
        room.send("one")
        assert await ada.receive() == "one"
        assert ada.cursors == {"b": "7", "a": "1.1.x"}


# -- servers that are wrong --------------------------------------------------------------------------------------------


async def test_a_frame_of_a_room_that_is_wrong_ends_the_session() -> None:
    """Each of the vectors, told to both ends by its code, with a sentence."""
    vectors = json.loads((Path(__file__).parents[1] / "vectors" / "rooms.json").read_text("ascii"))
    wrong = [vector for vector in vectors if "error" in vector and "\\ud" not in ascii(vector["frame"])]
    assert len(wrong) > 20
    sessions: asyncio.Queue[realtime.Session] = asyncio.Queue()
    server = realtime.Server()

    @server.endpoint("/park")
    async def park(session: realtime.Session) -> None:
        sessions.put_nowait(session)
        await session.wait_closed()

    async with within(), serving(server) as url:
        for vector in wrong:
            async with realtime.connect(f"{url}/park", transports="websocket") as ada:
                theirs = await sessions.get()
                carrier = theirs._machine.carrier
                assert carrier is not None
                assert isinstance(carrier.codec, NativeCodec)
                carrier.write([carrier.codec.text(vector["frame"])])
                with pytest.raises(realtime.SessionClosed) as caught:
                    await ada.receive()
                assert caught.value.code == vector["error"], vector["name"]
                assert len(caught.value.reason) > 10
                await theirs.wait_closed()
                assert theirs.close_code == vector["error"]


# -- what connect() takes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cursors", "error"),
    [
        ("chat", TypeError),
        (["chat"], TypeError),
        ({"chat": 5}, TypeError),
        ({5: "1"}, TypeError),
        ({"chat": ""}, realtime.LocalProtocolError),
        ({"chat": "a b"}, realtime.LocalProtocolError),
        ({"a" * 257: "1"}, realtime.LocalProtocolError),
        ({"\ud800": "1"}, realtime.LocalProtocolError),
        ({str(number): "1" for number in range(65)}, realtime.LocalProtocolError),
    ],
)
def test_cursors_that_are_none(cursors: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="cursors="):
        realtime.connect("http://localhost/realtime/x", cursors=cursors)


async def test_more_cursors_than_an_open_takes() -> None:
    """The rooms that were heard of last are said."""
    room = HistoryRoom("99")
    for number in range(3):
        room.send(str(number))
    cursors = {f"{number:02}" + "\x01" * 254: "1.2.x" for number in range(63)} | {"99": "1.2.x"}
    async with within(), serving(server_of(room)) as url, realtime.connect(f"{url}/rooms", cursors=cursors) as ada:
        assert [await ada.receive(), await ada.receive()] == ["2", "joined"]
        assert list(ada.cursors)[-1] == "99"
        assert len(ada.cursors) == 64


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("transport", ["websocket", "xhr_streaming", "long_polling", "polling"])
async def test_a_message_that_is_too_large_ends_one_session_and_not_the_next(transport: str, durable: bool) -> None:
    """It is told as a gap: whoever goes on goes on behind it."""
    rt = realtime.Server(poll_interval=SOON, shutdown_timeout=0.3, broker=realtime.MemoryBroker() if durable else None)
    rt.configure_rooms("news", history=10)

    @rt.endpoint("/news", durable=durable)
    async def news(session: realtime.Session) -> None:
        await session.join("news")
        await session.commit()
        await session.send("joined")
        async for _ in session:
            pass

    heard: list[str | bytes] = []
    ends: list[tuple[int | None, tuple[str, str, int] | None]] = []
    cursor = ""
    async with serving(rt) as base, within():
        sessions = aiter(realtime.connect(f"{base}/news", transports=transport, max_size=1000, backoff=SOON))
        async with aclosing(sessions):
            async for session in sessions:
                if not ends:
                    assert await session.receive() == "joined"
                    for text in ("before", "x" * 1001):
                        cursor = await rt.room("news").send(text)
                    await rt.room("news").send("after")
                async for message in session:
                    heard += [message] if message != "joined" else []
                    if message == "after":
                        break
                if heard[-1] == "after":
                    break
                ends.append((session.close_code, session.gap))
    assert heard == ["before", "after"]
    assert ends == [(1009, ("news", cursor, 1))]
