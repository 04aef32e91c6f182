"""Exactly once, for events and their answers, over connections that fail at every step: see matrix.py.

What waits behind a handler that calls, and what is slow, under the same; and sessions that are lost within an event.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import realtime
from realtime.core.errors import EventError
from realtime.namespaces.events import Events
from realtime.namespaces.session import EventSession
from realtime.testing import (
    Clients,
    Cut,
    DropRequest,
    DropResponse,
    Fault,
    FaultProxy,
    KillWebSocket,
    ProxiedRequest,
    RepeatRequest,
)

from ..client.soak import TIMING
from ..patience import eventually, within
from ..web.peer import WebSocketPeer
from .matrix import CASES, POLLS, STREAMS, Case, held, serving
from .place import NativeClient, chatting, client

pytestmark = pytest.mark.usefixtures("quiet_log")

EVERY = 4  # steps; each case begins at another. `python -m tests.namespaces.matrix` goes through all.
TWO = '{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}'


@pytest.mark.parametrize("transport", ["websocket", *STREAMS, *POLLS])
async def test_a_conversation_under_a_fault_at_every_step(transport: str) -> None:
    async with serving() as (server, port):
        for number, case in enumerate(CASES):
            if case.transport == transport:
                assert await held(server, port, case, first=number % EVERY, every=EVERY) > 2


async def test_a_conversation_over_a_distance() -> None:
    """One fault of each kind, all at once."""
    async with serving() as (server, port):

        async def one(number: int, case: Case) -> int:
            return await held(server, port, case, first=3 + number % 5, every=1000, latency=0.15)

        assert await asyncio.gather(*(one(number, case) for number, case in enumerate(CASES))) == [1] * len(CASES)


def sends(request: ProxiedRequest) -> bool:
    """What goes up, over HTTP."""
    return request.method == "POST" and not request.path.endswith("/sse")


def streams(request: ProxiedRequest) -> bool:
    """What comes down beside it."""
    return request.path.endswith("/sse")


FAULTS: dict[str, list[Fault]] = {
    "websocket": [
        KillWebSocket(after_frames=70, every=2, sent_by="client", end="rst"),
        KillWebSocket(after_frames=20, skip=1, every=2),
    ],
    "sse": [Cut(match=streams, after_bytes=4000, times=4), DropResponse(match=sends, every=3), RepeatRequest(every=2)],
    "long_polling": [DropRequest(match=sends, every=7), DropResponse(match=sends, every=5), RepeatRequest(every=3)],
}
BY_TRANSPORT = pytest.mark.parametrize("transport", FAULTS)
CLIENT: dict[str, Any] = {"upgrade": False, "attach_timeout": 5.0, "post_timeout": 5.0, "backoff": (0.01, 0.1)}


@BY_TRANSPORT
async def test_256_events_behind_a_handler_that_calls(transport: str) -> None:
    """Binary ones and calls among them. The answer comes behind all of them, and the window is 64."""
    events = Events()
    order: list[Any] = []
    all_sent = asyncio.Event()

    @events.on("begin")
    async def begin(session: EventSession) -> str:
        order.append("begin")
        order.append(await session.call("ask", b"bytes", timeout=None))
        return "done"

    @events.on("next")
    async def following(session: EventSession, number: int, data: bytes = b"") -> tuple[int, bytes]:
        order.append((number, data))
        return number, data

    rt = realtime.Server(shutdown_timeout=0.5, **TIMING | {"ping_interval": 5.0, "ping_timeout": 5.0})
    rt.endpoint("/chat")(events)
    async with Clients() as clients, within():
        port = (await clients.server(rt)).port
        assert port is not None
        async with FaultProxy("127.0.0.1", port) as proxy:
            rules = [proxy.add(fault) for fault in FAULTS[transport]]
            async with realtime.connect(f"{proxy.url}/realtime/chat", transports=transport, **CLIENT) as session:
                main = session.events()

                @main.on("ask")
                async def ask(data: bytes) -> bytes:
                    await all_sent.wait()
                    return data * 2

                begun = asyncio.create_task(main.call("begin", timeout=None))
                await eventually(lambda: order == ["begin"])
                said = [(number, b"x" * number if number % 3 == 0 else b"") for number in range(256)]
                calls = []
                for number, data in said:
                    if number % 4:
                        await main.emit("next", number, *([data] if data else []))
                    else:
                        calls.append(asyncio.create_task(main.call("next", number, data, timeout=None)))
                        await asyncio.sleep(0)  # it goes in its place
                all_sent.set()
                assert await begun == "done"
                assert await asyncio.gather(*calls) == [list(one) for one in said[::4]]
                assert await main.call("next", 256, timeout=None) == [256, b""]
            assert [rule.fired > 0 for rule in rules] == [True] * len(rules)
    assert order == ["begin", b"bytesbytes", *said, (256, b"")]


@BY_TRANSPORT
async def test_a_slow_consumer_never_sees_half_of_an_event(transport: str) -> None:
    """Whatever it has missed is counted, and what it gets are whole events, in order."""
    events, sessions = Events(), []
    events.on("connect")(lambda session: sessions.append(session))
    events.on("echo")(lambda session, *args: args)
    settings = TIMING | {"ping_interval": 5.0, "ping_timeout": 5.0, "max_outbox": 12}
    rt = realtime.Server(shutdown_timeout=0.5, on_full="drop_oldest", **settings)
    rt.endpoint("/chat")(events)
    heard: list[int] = []
    async with Clients() as clients, within():
        port = (await clients.server(rt)).port
        assert port is not None
        async with FaultProxy("127.0.0.1", port) as proxy:
            rules = [proxy.add(fault) for fault in FAULTS[transport]]
            url = f"{proxy.url}/realtime/chat"
            async with realtime.connect(url, transports=transport, max_queue=16, **CLIENT) as session:
                main = session.events()

                @main.on("tick")
                async def tick(number: int, one: bytes, two: list[bytes]) -> None:
                    assert (one, two) == (b"%d" % number, [b"%d" % (number + 1)])
                    heard.append(number)
                    await asyncio.sleep(0.001 * (number % 3))

                await main.ready()
                for number in range(600):
                    data = (b"%d" % number, [b"%d" % (number + 1)])
                    if number % 3:
                        await events.emit("tick", number, *data)
                    elif number % 2:
                        await sessions[0].emit("tick", number, *data, volatile=True)
                    else:
                        await sessions[0].emit("tick", number, *data)
                    if number % 10 == 0:
                        await asyncio.sleep(0.002)
                    if number % 50 == 49:  # it is slow, and not away: there is room for the next
                        await sessions[0].session.flush()
                while not all(rule.fired for rule in rules):
                    await main.call("echo", b"more", timeout=None)
                assert await main.call("echo", "last", timeout=None) == "last"
                await sessions[0].session.flush()  # what is under way is not dropped for it: it would be
                await sessions[0].emit("tick", 600, b"600", [b"601"])
                await eventually(lambda: heard and heard[-1] == 600)
                volatile = [number for number in range(600) if number % 6 == 3]
                assert heard == sorted(set(heard))
                missed = set(range(601)) - set(heard)
                # One that is volatile is forgotten without a word where it could not be written, and not behind that.
                assert 3 * len(missed - set(volatile)) <= session.dropped <= 3 * len(missed)
                assert session.dropped % 3 == 0
                assert len(heard) > 10


async def test_a_call_that_has_timed_out_is_handled_once_and_answered_to_nobody() -> None:
    events, seen = Events(), []
    go = asyncio.Event()

    @events.on("slow", concurrent=8)
    async def slow(session: EventSession, number: int) -> int:
        seen.append(number)
        await go.wait()
        if number == 2:
            raise EventError("too late")
        return number

    rt = realtime.Server(shutdown_timeout=0.5)
    rt.endpoint("/chat")(events)
    async with Clients() as clients, within():
        session = await clients(rt, "/realtime/chat")
        main = session.events()
        await main.ready()
        for number in range(4):
            with pytest.raises(TimeoutError):
                await main.call("slow", number, timeout=0.001)
        waiting = asyncio.create_task(main.call("slow", 4, timeout=None))
        await eventually(lambda: len(seen) == 5)
        go.set()
        assert await waiting == 4
        assert seen == [0, 1, 2, 3, 4]
        assert await main.call("slow", 5) == 5


# -- sessions that are lost, resumed, or not read, within an event -----------------------------------------------------


async def acks(one: NativeClient) -> str:
    """What the server has received and taken, as it says on the wire."""
    peer = one.peer
    assert isinstance(peer, WebSocketPeer)
    await peer.send("p1")
    found = ""
    async with within():
        while (frame := await peer.read()) != "q1":
            if isinstance(frame, str) and frame[0] == "a":
                found = frame
    return found


async def test_an_event_counts_as_taken_behind_its_last_part() -> None:
    events, seen = Events(), []
    events.on("two")(lambda session, *args: seen.append(args))
    async with chatting(events) as place:
        one = await client(place)
        assert isinstance(one, NativeClient)
        await one.connect()
        await one.say(f'52-["two",{TWO}]')
        await eventually(lambda: not one_of(place).inbox.items and one_of(place).inbox.received == 2)
        assert await acks(one) == "a2,1"
        await one.say(b"1")
        await eventually(lambda: not one_of(place).inbox.items and one_of(place).inbox.received == 3)
        assert await acks(one) == "a3,1"
        # The session goes on over another connection; what was received is not said again, and not taken.
        await one.peer.drop()
        one.peer.acked = 3
        await one.peer.resume()
        assert seen == []
        await one.say(b"2", '2["two"]')
        await eventually(lambda: len(seen) == 2)
        assert await acks(one) == "a5,5"
        assert seen == [(b"1", b"2"), ()]


def one_of(place: Any) -> Any:
    """The machine of the only session."""
    (session,) = place.rt._service.sessions.registry.sessions.values()
    return session


@pytest.mark.parametrize("kind", ["native", "long_polling", "engine"])
async def test_a_session_that_is_lost_within_an_event_has_not_said_it(kind: str) -> None:
    events, seen = Events(), []
    events.on("two")(lambda session, *args: seen.append(args))
    events.on("disconnect")(lambda session, reason: seen.append(reason))
    async with chatting(events) as place:
        one = await client(place, kind)
        await one.connect()
        await one.say('2["two"]', f'52-["two",{TWO}]', b"1")
        await eventually(lambda: seen == [()])
        one_of(place).end(1006, "lost", 0.0)
        await eventually(lambda: len(seen) == 2)
        assert seen == [(), "transport close"]


async def test_what_has_not_arrived_of_an_event_is_told_whole() -> None:
    """Where it was received in part, at either end."""
    events, sessions = Events(), []
    events.on("connect")(lambda session: sessions.append(session))
    async with chatting(events) as place:
        one = await client(place)
        await one.connect()
        one.peer.acking = False  # type: ignore[attr-defined]
        await sessions[0].emit("two", b"1", b"2")
        await sessions[0].emit("next")
        await one.take(4)
        await one.peer.send("a3,3")  # type: ignore[attr-defined] # the reply, and two of three
        machine = sessions[0].session._machine
        await eventually(lambda: machine.outbox.acked == 3)
        machine.end(1006, "lost", 0.0)
        assert sessions[0].session.unacknowledged == [f'52-["two",{TWO}]', b"1", b"2", '2["next"]']
