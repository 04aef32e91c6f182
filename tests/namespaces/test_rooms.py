"""Rooms of namespaces: events to many, encoded once, skipped, volatile, with bytes; and over a broker."""

from __future__ import annotations

from typing import Any

import pytest

import realtime
from realtime.core.errors import LocalProtocolError
from realtime.core.frames import Outgoing
from realtime.namespaces.events import Events
from realtime.namespaces.rooms import event_group, everybody
from realtime.namespaces.session import EventSession

from ..web.peer import WebSocketPeer
from ..web.place import Place, eventually, serving
from .place import NativeClient, chatting, client

pytestmark = pytest.mark.usefixtures("quiet_log")

KINDS = ["native", "long_polling", "engine"]


class Chat:
    """Events whose clients join rooms, and say what others hear."""

    def __init__(self) -> None:
        self.events = Events()
        self.admin = self.events.namespace("/admin")
        self.sessions: list[EventSession] = []
        self.left: list[str] = []
        for namespace in (self.events, self.admin):
            self._register(namespace)

    def _register(self, namespace: realtime.Namespace) -> None:
        @namespace.on("connect")
        def connect(session: EventSession) -> None:
            self.sessions.append(session)

        @namespace.on("join")
        async def join(session: EventSession, room: str) -> list[str]:
            await session.join(room)
            return sorted(session.rooms)

        @namespace.on("leave")
        async def leave(session: EventSession, room: str) -> list[str]:
            await session.leave(room)
            return sorted(session.rooms)

        @namespace.on("say")
        async def say(session: EventSession, room: str, *args: Any) -> None:
            await namespace.room(room).emit("said", *args, skip=session)


async def test_a_room_is_closed_and_its_members_stay_in_the_namespace() -> None:
    chat = Chat()
    async with chatting(chat.events) as place:
        clients = [await client(place, kind) for kind in KINDS]
        for one in clients:
            await one.connect()
            await one.say('20["join","lobby"]')
            assert await one.news() == '30[["lobby"]]'
        lobby = chat.events.room("lobby")
        assert list(lobby) == chat.sessions
        await lobby.emit("said", "goodbye")
        await lobby.close()
        await lobby.emit("said", "nobody hears this")
        assert [session.rooms for session in chat.sessions] == [frozenset()] * len(KINDS)
        await chat.events.emit("to all")
        for one in clients:
            assert await one.take(2) == ['2["said","goodbye"]', '2["to all"]']


async def test_rooms_are_their_namespaces_own() -> None:
    chat = Chat()
    async with chatting(chat.events) as place:
        clients = [await client(place, kind) for kind in KINDS]
        for one in clients:
            await one.connect()
            await one.connect("/admin")
            await one.say('20["join","lobby"]', '2/admin,0["join","lobby"]', '2/admin,1["join","more"]')
            assert await one.take(3) == ['30[["lobby"]]', '3/admin,0[["lobby"]]', '3/admin,1[["lobby","more"]]']
        first, *others = clients
        await first.say('2["say","lobby",1,"é"]', '2/admin,["say","lobby",2]')
        await first.say('51-["say","lobby",{"_placeholder":true,"num":0}]', b"\x00\x01")
        for other in others:
            assert await other.take(4) == [
                '2["said",1,"é"]',
                '2/admin,["said",2]',
                '51-["said",{"_placeholder":true,"num":0}]',
                b"\x00\x01",
            ]
        await chat.admin.emit("to all", skip=[session for session in chat.sessions if session.namespace == "/"])
        for one in clients:
            assert await one.news() == '2/admin,["to all"]'
        await chat.events.emit("to all", {"a": b"1"}, skip=chat.sessions[0].id)
        for other in others:
            assert await other.take(2) == ['51-["to all",{"a":{"_placeholder":true,"num":0}}]', b"1"]
        room = chat.admin.room("lobby")
        assert (len(room), await room.count(), chat.sessions[1] in room, chat.sessions[0] in room) == (
            3,
            3,
            True,
            False,
        )
        assert sorted(await room.members()) == sorted(session.id for session in room)
        assert len(place.rt.room("/admin#lobby")) == 3
        # What is no event becomes one: for who knows no events, and sends to rooms.
        await place.rt.room("/admin#lobby").send("text")
        await place.rt.room("/admin#lobby").send(b"bytes")
        for one in clients:
            assert await one.take(3) == [
                '2/admin,["message","text"]',
                '51-/admin,["message",{"_placeholder":true,"num":0}]',
                b"bytes",
            ]
        await first.say('21["leave","lobby"]', "1/admin,")
        assert await first.news() == "31[[]]"
        await eventually(lambda: len(place.rt.room("/admin#lobby")) == 2)
        assert (len(chat.events.room("lobby")), len(room)) == (2, 2)


async def test_an_event_is_encoded_once_for_all() -> None:
    chat = Chat()
    async with chatting(chat.events) as place:
        clients = [await client(place, kind) for kind in ("native", "native", "engine", "engine")]
        for one in clients:
            await one.connect()
        group = event_group("/", "hello", (b"bytes",))
        await place.rt.room(everybody("/", "/chat"))._send(group, ())
        for one in clients:
            assert await one.take(2) == ['51-["hello",{"_placeholder":true,"num":0}]', b"bytes"]
        assert [len(part.encoded) for part in group.parts] == [2, 2]  # for each protocol
        message = Outgoing.message("plain")
        await place.rt.room(everybody("/", "/chat"))._send(message, ())
        for one in clients:
            assert await one.news() == '2["message","plain"]'
        (made,) = message.encoded.values()
        assert [len(part.encoded) for part in made.parts] == [2]  # type: ignore[union-attr] # an event, for all


async def test_names() -> None:
    chat = Chat()
    async with chatting(chat.events):
        for name in ("", "#a"):
            with pytest.raises(LocalProtocolError, match="has a name"):
                chat.events.room(name)
        with pytest.raises(TypeError, match="a str"):
            chat.events.room(5)  # type: ignore[arg-type]
        with pytest.raises(LocalProtocolError, match="no event can"):
            await chat.events.emit("connect")
        with pytest.raises(TypeError, match="has a name"):
            await chat.events.room("a").emit(5)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="not set"):
            await chat.events.emit("a", {1})


@pytest.mark.parametrize("kind", KINDS)
async def test_volatile(kind: str) -> None:
    chat = Chat()
    async with chatting(chat.events) as place:
        one = await client(place, kind)
        await one.connect()
        await one.say('20["join","lobby"]')
        await one.news()
        (session,) = chat.sessions
        for number in range(20):
            await session.emit("tick", number, volatile=True)
            await chat.events.room("lobby").emit("tick", number, volatile=True)
        await session.emit("last")
        said = [await one.news()]
        while said[-1] != '2["last"]':
            said.append(await one.news())
        # The first is written, if there is a connection to write to; those behind it are forgotten without a word.
        assert said[:-1] in ([], ['2["tick",0]'])


async def test_over_a_broker_with_history_and_presence() -> None:
    """Two workers, and a client at each: what is said at one is heard at the other, in one order."""
    broker = realtime.MemoryBroker()
    chats = [Chat(), Chat()]
    for chat in chats:
        chat.events.on("look")(lambda session: None)
    servers = [realtime.Server(shutdown_timeout=0.3, broker=broker) for _ in chats]
    for rt, chat, path in zip(servers, chats, ("/socket.io", "/two.io"), strict=True):
        rt.configure_rooms("/#kept", history=100, presence=True)
        rt.endpoint("/chat", socketio=path)(chat.events)

    def prepare(place: Place) -> None:
        realtime.setup(place.app, servers[1], prefix="/two")

    async with serving(servers[0], prepare=prepare) as place:
        peers = [WebSocketPeer(place.http, f"{place.base}{prefix}/chat") for prefix in ("/realtime", "/two")]
        place.peers += peers
        for peer in peers:
            await peer.open()
        one, two = [NativeClient(peer) for peer in peers]
        three = await client(place, "engine")
        for who in (one, two, three):
            await who.connect()
            await who.say('20["join","kept"]')
            assert await who.news() == '30[["kept"]]'
        await one.say('2["say","kept",1]', '51-["say","kept",{"_placeholder":true,"num":0}]', b"x")
        await two.say('2["say","kept",2]')
        await two.take(3)
        heard = await three.take(4)
        assert sorted(map(str, heard)) == sorted(
            map(str, ['2["said",1]', '51-["said",{"_placeholder":true,"num":0}]', b"x", '2["said",2]'])
        )
        await chats[0].events.emit("all", b"bytes", volatile=False)
        for who in (two, three):
            assert await who.take(2) == ['51-["all",{"_placeholder":true,"num":0}]', b"bytes"]
        room = chats[1].events.room("kept")
        assert await room.count() == 3
        assert set(await room.members()) == {session.id for chat in chats for session in chat.sessions}
        changes = room.watch_members()
        assert {(await anext(changes)).what for _ in range(3)} == {"here"}
        await room.clear()
        assert repr(room) == "<EventRoom 'kept' of / with 1>"
