"""POSTs of Engine.IO clients whose handlers are behind: who is answered when, and what becomes of the rest."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import realtime
from realtime.protocols.engineio.machine import EngineMachine
from realtime.protocols.engineio.packets import Packet
from realtime.testing import VirtualClock

from ..patience import within
from .place import eventually
from .test_engineio import GONE, Engine, Socket, engine, error

ROOM = 16
SMALL = {"max_queue": ROOM, "max_outbox": ROOM}


def payload(first: int, last: int) -> str:
    """The messages from one number to another."""
    return "\x1e".join(f"4{number}" for number in range(first, last))


async def post(e: Engine, sid: str, body: str) -> asyncio.Future[tuple[int, bytes]]:
    """A POST that is on its way."""
    answer: asyncio.Future[tuple[int, bytes]] = asyncio.ensure_future(e.post(sid, body, path="/hold"))
    return answer


async def stuck(e: Engine, body: str) -> tuple[str, realtime.Session, EngineMachine, asyncio.Future[tuple[int, bytes]]]:
    """A session whose handler takes nothing by itself, and a POST that waits for room."""
    sid = await e.open(path="/hold")
    session = await e.session()
    machine = session._machine
    assert isinstance(machine, EngineMachine)
    sent = await post(e, sid, body)
    await eventually(lambda: machine.waiting)
    assert not sent.done()
    return sid, session, machine, sent


async def probed(e: Engine, sid: str, path: str = "/hold") -> Socket:
    """A WebSocket whose probe was answered."""
    ws = await e.websocket(sid, path=path)
    await ws.send("2probe")
    assert await ws.next() == "3probe"
    return ws


async def taken(session: realtime.Session, first: int, last: int) -> None:
    """The handler takes these."""
    async with within():
        assert [await session.receive() for _ in range(first, last)] == [str(number) for number in range(first, last)]


@pytest.mark.parametrize("count", [1300, 3000])
async def test_a_client_that_sends_much_when_it_opens_and_then_upgrades(count: int) -> None:
    """Where nothing is taken from the outbox nothing is taken from the inbox: a poll would help, and will not come."""
    async with engine() as e:
        sid = await e.open()
        poll = asyncio.ensure_future(e.get(sid))
        (session,) = e.place.rt.sessions
        await e.parked(session)
        sent = asyncio.ensure_future(e.post(sid, payload(0, count)))
        ws = await probed(e, sid, "/engine.io/")
        got = (await poll)[1].decode().split("\x1e")
        assert await sent == (200, b"ok")
        await ws.send("5")
        got += [await ws.next() for _ in range(count - len(got) + got.count("6"))]
        assert [packet for packet in got if packet != "6"] == payload(0, count).split("\x1e")


async def test_what_is_left_comes_before_what_the_websocket_brings() -> None:
    async with engine(SMALL) as e:
        sid, session, machine, sent = await stuck(e, payload(0, 50))
        ws = await probed(e, sid)
        assert await sent == (200, b"ok")
        await ws.send("5")
        for number in range(50, 100):
            await ws.send(f"4{number}")
        await eventually(lambda: session.transport == "websocket")
        assert machine.inbox.received == ROOM  # what waits for room is not in yet
        await taken(session, 0, 100)
        assert machine.waiting == 0
        await session.send("still here")
        assert await ws.next() == "4still here"


async def test_an_upgrade_without_a_probe() -> None:
    async with engine(SMALL) as e:
        sid, session, _, sent = await stuck(e, payload(0, 50))
        ws = await e.websocket(sid, path="/hold")
        await ws.send("5")
        await ws.send("450")
        assert await sent == (200, b"ok")
        await taken(session, 0, 51)


async def test_after_an_upgrade_that_fails_answers_wait_again() -> None:
    async with engine(SMALL) as e:
        sid, session, machine, sent = await stuck(e, payload(0, 50))
        ws = await probed(e, sid)
        assert await sent == (200, b"ok")
        await ws.ws.close()
        await eventually(lambda: machine.trial is None)
        more = await post(e, sid, payload(50, 60))
        await eventually(lambda: machine.posting)
        await session.send("a")
        assert await e.get(sid, path="/hold") == (200, b"4a")
        assert not more.done()
        await taken(session, 0, 60)
        assert await more == (200, b"ok")


async def test_what_waits_of_answered_posts_is_bounded() -> None:
    """The client may hear of the answer to its POST before that of its probe, and send more; but not without end."""
    body = payload(100, 140)
    async with engine(SMALL, max_payload=len(body)) as e:
        sid, session, machine, sent = await stuck(e, body)
        ws = await probed(e, sid)
        assert await sent == (200, b"ok")
        assert await (await post(e, sid, payload(140, 180))) == (200, b"ok")
        third = await post(e, sid, payload(180, 200))
        await eventually(lambda: machine.posting)
        assert await e.get(sid, path="/hold") == (200, b"6")  # time for an answer, if there were one
        assert not third.done()
        await taken(session, 100, 140)
        assert await third == (200, b"ok")  # less waits than before
        await ws.send("5")
        await taken(session, 140, 200)


@pytest.mark.parametrize(
    ("packet", "code"), [("1", 1000), ("4" + "x" * 200, 1009), ("2", 1002)], ids=["close", "too large", "ping"]
)
async def test_what_ends_the_session_when_its_turn_comes(packet: str, code: int) -> None:
    async with engine(SMALL | {"max_size": 100}) as e:
        sid, session, _, sent = await stuck(e, f"{payload(0, 50)}\x1e{packet}\x1e4never")
        ws = await probed(e, sid)
        assert await sent == (200, b"ok")
        await ws.send("5")
        await ws.send("4never")
        await taken(session, 0, 50)
        await ws.ended()
        await eventually(lambda: session.closed)
        assert session.close_code == code


@pytest.mark.parametrize("code", [1000, 1009])
async def test_what_ends_the_session_is_said_to_who_waits_for_an_answer(code: int) -> None:
    async with engine(SMALL | {"max_size": 100}) as e:
        packet = "1" if code == 1000 else "4" + "x" * 200
        _, session, _, sent = await stuck(e, f"{payload(0, 50)}\x1e{packet}\x1e4never")
        await taken(session, 0, 50)
        assert (await sent)[0] == (200 if code == 1000 else 413)
        assert session.close_code == code


@pytest.mark.parametrize("early", [False, True])
async def test_a_session_that_ends_while_a_post_waits(early: bool) -> None:
    async with engine(SMALL) as e:
        sid, session, machine, sent = await stuck(e, payload(0, 50))
        if early:
            await probed(e, sid)
            assert await sent == (200, b"ok")
        machine.end(3000, "enough", 0.0)
        if not early:
            assert error(await sent) == GONE
        await eventually(lambda: not machine.waiting)
        await taken(session, 0, ROOM)
        with pytest.raises(realtime.SessionClosed):
            await session.receive()


async def test_a_handler_that_closes_while_a_post_waits() -> None:
    async with engine(SMALL) as e:
        sid, session, _, sent = await stuck(e, payload(0, 50))
        closing = asyncio.ensure_future(session.close(3000))
        assert await sent == (200, b"ok")  # what comes across a close is discarded
        assert await e.get(sid, path="/hold") == (200, b"1")
        await closing


@pytest.mark.parametrize("fault", [RuntimeError, asyncio.CancelledError])
async def test_a_fault_of_ours_ends_the_session(fault: type[BaseException], monkeypatch: pytest.MonkeyPatch) -> None:
    async with engine(SMALL) as e:
        _, session, machine, sent = await stuck(e, payload(0, 50))

        def feed(carrier: object, packet: Packet, now: float) -> None:
            raise fault

        monkeypatch.setattr(EngineMachine, "feed", lambda machine, *arguments: feed(*arguments))
        loop = asyncio.get_running_loop()
        reported: list[Any] = []
        loop.set_exception_handler(lambda loop, context: reported.append(context))
        try:
            await session.receive()
            assert error(await sent) == GONE
        finally:
            await asyncio.sleep(0)
            loop.set_exception_handler(None)
        assert machine.outcome is not None
        assert machine.outcome.code == 1011


# -- heartbeats while a handler is behind ------------------------------------------------------------------------------


async def test_a_client_that_is_not_read_is_pinged_at_every_interval() -> None:
    """Over a WebSocket, whose answers are not read: a client leaves that is not pinged in time."""
    clock = VirtualClock()
    async with engine({"clock": clock} | SMALL, ping_interval=1.0, ping_timeout=0.5) as e:
        ws = await e.websocket(path="/hold")
        session = await e.session()
        await ws.next()
        for number in range(ROOM + 4):
            await ws.send(f"4{number}")
        machine = session._machine
        assert isinstance(machine, EngineMachine)
        await eventually(lambda: machine.waiting)
        for _ in range(10):
            clock.advance(1.1)
            assert await ws.next() == "2"
            await ws.send("3")
        await taken(session, 0, ROOM + 4)
        await eventually(lambda: not machine.waiting)
        clock.advance(1.1)
        assert await ws.next() == "2"
        clock.advance(0.6)
        await ws.ended()
        assert session.close_code == 4410


async def test_a_polling_client_that_is_not_read_is_pinged_at_every_interval() -> None:
    clock = VirtualClock()
    async with engine({"clock": clock} | SMALL, ping_interval=1.0, ping_timeout=0.5) as e:
        sid, session, _, sent = await stuck(e, payload(0, 30))
        for _ in range(10):
            poll = asyncio.ensure_future(e.get(sid, path="/hold"))
            await e.parked(session)
            clock.advance(1.1)
            assert await poll == (200, b"2")
        assert not sent.done()
        await taken(session, 0, 30)
        assert await sent == (200, b"ok")


@pytest.mark.parametrize("transport", ["polling", "websocket"])
async def test_a_client_of_version_3_that_is_not_read_is_given_signs_of_life(transport: str) -> None:
    """It pings, waits for ping_timeout, and takes whatever comes for an answer."""
    clock = VirtualClock()
    async with engine({"clock": clock} | SMALL, ping_interval=10.0, ping_timeout=3.0) as e:
        packets = [f"4{number}" for number in range(ROOM + 4)]
        if transport == "websocket":
            ws = await e.websocket(path="/hold", eio=3)
            session = await e.session()
            await ws.next()
            for packet in [*packets, "2"]:
                await ws.send(packet)
        else:
            sid = await e.open(path="/hold", eio=3)
            session = await e.session()
            body = "".join(f"{len(packet)}:{packet}" for packet in packets)
            sent = asyncio.ensure_future(e.post(sid, body, eio=3, path="/hold"))
        machine = session._machine
        assert isinstance(machine, EngineMachine)
        await eventually(lambda: machine.waiting)
        for _ in range(20):
            if transport == "polling":
                poll = asyncio.ensure_future(e.get(sid, eio=3, path="/hold"))
                await e.parked(session)
            clock.advance(1.1)
            if transport == "polling":
                assert await poll == (200, b"1:6")
            else:
                assert await ws.next() == "6"
        await taken(session, 0, ROOM + 4)
        if transport == "polling":
            assert await sent == (200, b"ok")
        else:
            while (packet := await ws.next()) == "6":
                pass
            assert packet == "3"


async def test_who_neither_polls_nor_is_read_is_gone() -> None:
    clock = VirtualClock()
    async with engine({"clock": clock} | SMALL, ping_interval=1.0, ping_timeout=0.5) as e:
        _, session, _, sent = await stuck(e, payload(0, 30))
        for _ in range(4):
            clock.advance(1.0)
        await eventually(lambda: session.closed)
        assert session.close_code == 4410
        assert error(await sent) == GONE
