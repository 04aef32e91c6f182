"""Clients of Socket.IO that go on where they were, and come to another worker than that which has their state."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

import realtime
from realtime.namespaces.session import EventSession

from ..namespaces.going import Chat, Going
from ..namespaces.place import EngineClient, client
from ..patience import eventually, leap
from .workers import Worker, workers


class Crew:
    """Two workers with the same events, and clients of them."""

    def __init__(self) -> None:
        self.chats: list[Chat] = []
        self.workers: list[Worker] = []
        self.http: aiohttp.ClientSession
        self._ends: list[Any] = []

    def prepare(self, worker: Worker) -> None:
        """What each of them serves."""
        chat = Chat()
        self.chats.append(chat)
        worker.server.endpoint("/chat", socketio=realtime.SocketIO(recovery=60.0))(chat.events)
        worker.server.authorize(authorize)

    def at(self, number: int) -> Any:
        """Where clients of one worker go."""
        return SimpleNamespace(http=self.http, base=self.workers[number].url, peers=self._ends)


async def authorize(request: realtime.SessionRequest) -> str | None:
    return request.headers.get("X-Name")


@asynccontextmanager
async def crew(name: str = "ada") -> AsyncIterator[Crew]:
    """Up and running."""
    one = Crew()
    async with (
        workers(2, prepare=one.prepare) as them,
        aiohttp.ClientSession(headers={"X-Name": name, "X-Forwarded-For": "10.9.9.9"}) as http,
    ):
        one.workers, one.http = them, http
        yield one


async def test_a_client_goes_on_at_the_worker_that_has_it() -> None:
    async with crew() as one:
        first, second = one.chats
        ada = Going(one.at(0))
        await ada.connect(token=1)
        session = first.sessions[0]
        before = session.request
        await session.emit("number", 0)
        await ada.take()
        await ada.wire.drop()
        await eventually(lambda: len(one.workers[0].server) == 0)
        await session.emit("number", 1)
        await first.events.room("lobby").emit("number", 2, b"\x00\xff")
        for number in (3, 6):  # by the other, and by the other again, before anything was noticed
            ada.place = one.at(1)
            await ada.connect(token=number)
            assert ada.recovered
            assert ada.sid == session.id
            assert session.auth == {"token": number}
            assert session.request is not before
            assert (session.identity, session.request.remote) == ("ada", "127.0.0.1")
            await first.events.emit("number", number)
        while ada.had[-1] != ["number", 6]:
            await ada.take()
        assert ada.had == [
            ["number", 0],
            ["number", 1],
            ["number", 2, {"_placeholder": True, "num": 0}, b"\x00\xff"],
            ["number", 3],
            ["number", 6],
        ]
        await ada.wire.say('51-["said",{"_placeholder":true,"num":0}]', b"\x01", '2["said","é"]')
        await eventually(lambda: first.seen[-1] == ("é",))
        assert first.seen[-2] == (b"\x01",)
        assert second.seen == []
        ada.place = one.at(0)
        await ada.connect()
        assert ada.recovered
        await eventually(lambda: len(one.workers[1].server) == 0)
        await session.emit("number", 7)
        assert await ada.take() == ["number", 7]
        assert all(kind != "disconnect" for kind, *_ in first.seen)


async def test_an_end_goes_both_ways() -> None:
    async with crew() as one:
        first, _ = one.chats
        ada = Going(one.at(0))
        await ada.connect()
        ada.place = one.at(1)
        await ada.connect()
        session = first.sessions[0]
        await session.session.close()
        await ada.wire.closed()
        await eventually(lambda: first.seen[-1][0] == "disconnect")
        await eventually(lambda: len(one.workers[1].server) == 0)
        await ada.connect()  # it is not known any more
        assert not ada.recovered
        assert [seen[0] for seen in one.chats[1].seen] == ["connect"]
        ada.place = one.at(0)
        await ada.connect()
        assert ada.recovered
        await ada.wire.say("1")
        await eventually(lambda: one.chats[1].seen[-1] == ("disconnect", "client namespace disconnect"))
        await ada.wire.drop()
        await eventually(lambda: not any(len(worker.server) for worker in one.workers))


async def test_who_leaves_one_namespace_stays_in_the_others() -> None:
    """Also who has said so before anybody there could know."""
    async with crew() as one:
        first, _ = one.chats
        admins = [chat.events.namespace("/admin") for chat in one.chats]
        ada, admin = Going(one.at(0)), Going(one.at(0), "/admin")
        await ada.connect()
        await admin.connect(ada.wire)
        wire = await client(one.at(1), "engine")
        assert isinstance(wire, EngineClient)
        await wire.say(f'0{{"pid":"{ada.pid}"}}', "1")
        assert str(await wire.news()).startswith(f'0{{"sid":"{ada.sid}"')
        await eventually(lambda: first.seen[-1] == ("disconnect", "client namespace disconnect"))
        await admin.connect(wire)
        assert admin.recovered
        leap(30)  # nobody's patience is at an end
        for number in range(3):
            await admins[0].emit("number", number)
            assert await admin.take() == ["number", number]


async def test_a_client_that_is_cut_off_there_is_away_here() -> None:
    async with crew() as one:
        first, _ = one.chats
        ada = Going(one.at(0))
        await ada.connect()
        ada.place = one.at(1)
        await ada.connect()
        await ada.wire.drop()
        await eventually(lambda: not any(len(worker.server) for worker in one.workers))
        session = first.sessions[0]
        assert not session.closed
        await session.emit("number", 1)
        await ada.connect()
        assert ada.recovered
        assert await ada.take() == ["number", 1]


async def test_who_has_it_is_asked_who_it_is() -> None:
    async with crew() as one:
        first, _ = one.chats
        ada = Going(one.at(0))
        await ada.connect()
        async with aiohttp.ClientSession(headers={"X-Name": "grace"}) as http:
            grace = Going(SimpleNamespace(http=http, base=one.workers[1].url, peers=[]))  # type: ignore[arg-type]
            grace.pid = ada.pid
            await grace.connect()
            assert not grace.recovered
            assert [session.identity for session in first.sessions] == ["ada", "grace"]
            assert not first.sessions[0].closed
            await grace.wire.drop()
        await first.sessions[0].emit("number", 1)
        assert await ada.take() == ["number", 1]


async def test_an_identity_that_is_closed_elsewhere_can_not_go_on() -> None:
    async with crew() as one:
        first, _ = one.chats
        ada = Going(one.at(0))
        await ada.connect()
        await ada.wire.drop()
        await eventually(lambda: len(one.workers[0].server) == 0)
        assert await one.workers[1].server.close_identity("ada") == 0
        await eventually(lambda: first.seen[-1] == ("disconnect", "forced server close"))
        pid = ada.pid
        for number in range(2):
            ada.place, ada.pid = one.at(number), pid
            await ada.connect()
            assert not ada.recovered
            await ada.wire.drop()


async def test_who_is_in_a_namespace_here_goes_on_nowhere_else() -> None:
    async with crew() as one:
        first, second = one.chats
        for chat in one.chats:
            chat.events.namespace("/admin")
        ada, admin = Going(one.at(0)), Going(one.at(0), "/admin")
        await ada.connect()
        await admin.connect(ada.wire)
        ada.pid = None
        ada.place = one.at(1)
        await ada.connect()
        await admin.connect(ada.wire)
        assert not admin.recovered
        assert [session.namespace for session in second.sessions] == ["/"]
        assert len(first.sessions) == 1


@pytest.mark.parametrize("kind", ["nobody", "unknown", "no sid"])
async def test_what_nobody_has_is_an_ordinary_connect(kind: str) -> None:
    async with crew() as one:
        ada = Going(one.at(1))
        pids = {"nobody": "xxxx", "unknown": one.workers[0].name}
        ada.pid = f"{pids[kind]}.{'x' * 24}" if kind in pids else "xxxx.x"
        await ada.connect()
        assert not ada.recovered
        assert [seen[0] for seen in one.chats[1].seen] == ["connect"]
        assert one.chats[0].seen == []


async def test_a_worker_that_is_gone() -> None:
    async with crew() as one:
        ada = Going(one.at(0))
        await ada.connect()
        ada.place = one.at(1)
        await ada.connect()
        assert ada.recovered
        one.workers[0].kill()
        await ada.wire.closed()
        await eventually(lambda: len(one.workers[1].server) == 0)
        await ada.connect()
        assert not ada.recovered
        assert [seen[0] for seen in one.chats[1].seen] == ["connect"]


async def test_what_does_not_read_makes_the_other_worker_wait() -> None:
    """What a client does not read is kept by the worker that has its state, within the bounds of an outbox."""
    async with crew() as one:
        first, _ = one.chats
        ada = Going(one.at(0))
        await ada.connect()
        ada.place = one.at(1)
        await ada.connect()
        session: EventSession = first.sessions[0]
        count, text = 200, "x" * 50_000
        for number in range(count):
            await session.emit("text", number, text)
        for number in range(count):
            assert await ada.take() == ["text", number, text]


async def test_who_was_brought_here_is_brought_on_nowhere() -> None:
    """Or one client's packets could go round among the workers, through a session more with each turn."""
    async with crew() as one:
        pids = []
        for number in range(2):
            ada = Going(one.at(number))
            await ada.connect()
            pids.append(ada.pid)
        wire = await client(one.at(1), "engine")
        for turn in range(6):
            await wire.say(f'0/nowhere,{{"pid":"{pids[turn % 2]}"}}')
            assert await wire.news() == '4/nowhere,{"message":"Invalid namespace"}'
        assert [len(worker.server) for worker in one.workers] == [2, 2]
