"""How events end: drains, shutdowns, handlers that go on, a broker that is away."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import realtime
from realtime.namespaces.events import Events
from realtime.namespaces.session import EventSession

from ..patience import within
from ..web.place import errors, eventually
from .place import NativeClient, chatting, client


@pytest.mark.parametrize("kind", ["native", "engine"])
async def test_a_drain_waits_for_the_handler(kind: str) -> None:
    events, running, go = Events(), asyncio.Event(), asyncio.Event()

    @events.on("slow")
    async def slow(session: EventSession) -> str:
        running.set()
        await go.wait()
        return "done"

    async with chatting(events) as place:
        one = await client(place, kind)
        await one.connect()
        await one.say('20["slow"]')
        async with within():
            await running.wait()
        draining = asyncio.create_task(place.rt.drain(timeout=30, delay=0))
        if isinstance(one, NativeClient):
            assert str(await one.news()).startswith("g")
        await asyncio.sleep(0)
        assert not draining.done()
        go.set()
        assert await one.news() == '30["done"]'
        draining.cancel()
        await asyncio.wait({draining})


async def test_a_shutdown_tells_the_handlers() -> None:
    events, told, running = Events(), [], asyncio.Event()

    @events.on("hangs")
    async def hangs(session: EventSession) -> None:
        running.set()
        try:
            await asyncio.Event().wait()
        finally:
            told.append("cancelled")

    @events.on("disconnect")
    async def disconnect(session: EventSession, reason: str) -> None:
        await asyncio.sleep(0)
        told.append(reason)

    async with chatting(events) as place:
        one, two = await client(place), await client(place, "engine")
        for who in (one, two):
            await who.connect()
        await one.say('2["hangs"]')
        async with within():
            await running.wait()
            await place.stop()
        assert sorted(told) == ["cancelled", "server shutting down", "server shutting down"]


async def test_what_a_disconnect_handler_raises_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    events, other = Events(), []
    admin = events.namespace("/admin")

    @events.on("disconnect")
    def disconnect(session: EventSession) -> None:
        raise ValueError("a fault")

    admin.on("disconnect")(lambda session: other.append(session))
    async with chatting(events) as place:
        one = await client(place)
        await one.connect()
        await one.connect("/admin")
        await one.peer.send("c1000,")  # type: ignore[attr-defined]
        await eventually(lambda: len(other) == 1)
        assert len(errors(caplog.get_records("call"))) == 1


async def test_nobody_comes_in_while_the_broker_is_away(caplog: pytest.LogCaptureFixture) -> None:
    events = Events()
    broker: Any = realtime.RedisBroker("redis://127.0.0.1:1")
    async with chatting(events, broker=broker, broker_timeout=0.05) as place:
        one = await client(place)
        await one.say("0")
        assert await one.news() == '4{"message":"Come back later"}'
        assert any("was refused" in text for text in errors(caplog.get_records("call")))


@pytest.mark.parametrize("kind", ["native", "engine"])
async def test_who_was_let_in_and_is_gone_before_it_was_told(kind: str) -> None:
    """What "connect" has noted "disconnect" can take back."""
    events, running, go = Events(), asyncio.Event(), asyncio.Event()
    here: list[EventSession] = []

    @events.on("connect")
    async def connect(session: EventSession) -> None:
        here.append(session)
        running.set()
        await go.wait()

    events.on("disconnect")(lambda session: here.remove(session))
    async with chatting(events) as place:
        one = await client(place, kind)
        await one.say("0")
        async with within():
            await running.wait()
        here[0].session._machine.end(1006, "cut", 0.0)
        go.set()
        await eventually(lambda: not here)
        await eventually(lambda: not place.rt._service.sessions.handlers.tasks)


async def test_who_is_refused_is_not_told_of_again() -> None:
    events = Events()
    told: list[str] = []

    @events.on("connect")
    async def connect(session: EventSession) -> None:
        raise realtime.Unauthorized("no")

    events.on("disconnect")(lambda session, reason: told.append(reason))
    async with chatting(events) as place:
        one = await client(place)
        await one.say("0", "0", "1")
        assert await one.take(2) == ['4{"message":"no"}'] * 2
        assert told == []
