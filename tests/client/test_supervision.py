"""How a client finds a transport that works: the race at opening, streams under test, demotion, upgrades."""

from __future__ import annotations

import asyncio
import logging

import aiohttp
import pytest

import realtime
from realtime.testing import (
    BlackHole,
    Fault,
    HangWebSocket,
    HoldResponse,
    KillWebSocket,
    ProxiedRequest,
    RefuseWebSocket,
    ResetWebSocket,
    StripUpgrade,
)

from ..patience import steady
from .soak import Soak, assert_exactly_once, soak_server


def websockets(request: ProxiedRequest) -> bool:
    """Handshakes."""
    return request.is_websocket


def streams(request: ProxiedRequest) -> bool:
    """Long responses."""
    return request.path.endswith(("/xhr_streaming", "/sse", "/multipart"))


NO_WEBSOCKET: dict[str, list[Fault]] = {
    "refused": [RefuseWebSocket()],
    "stripped": [StripUpgrade()],
    "hung": [HangWebSocket()],
    "reset": [ResetWebSocket()],
    "black-holed": [BlackHole(match=websockets)],
    "mute": [BlackHole(match=websockets, after_bytes=0)],
    "killed after the first frame": [KillWebSocket(after_frames=1)],
}


@pytest.mark.parametrize("faults", NO_WEBSOCKET.values(), ids=NO_WEBSOCKET.keys())
@steady
async def test_without_websocket_http_carries_one_session(faults: list[Fault]) -> None:
    """Whatever happens to the WebSocket, the session comes by HTTP: one session, nothing lost, and it says why."""
    async with soak_server(200) as soak:
        rules = [soak.proxy.add(fault) for fault in faults]
        server, client, session = await soak.run(attach_timeout=5.0)
        assert_exactly_once(server, client, 200)
        assert session.transport == "xhr_streaming"
        assert session.attempts["websocket"]
        assert session.timings[session.transport] > 0
        assert any(rule.fired for rule in rules)


@steady
async def test_a_good_network_is_asked_once() -> None:
    """Where the WebSocket works, nothing else is tried."""
    async with soak_server(10) as soak:
        server, client, session = await soak.run(race_delay=10.0)
        assert_exactly_once(server, client, 10)
        paths = {event.request.path for event in soak.proxy.log if event.kind == "request" and event.request}
        assert paths == {"/realtime/soak/v1/websocket"}
        assert (session.transport, dict(session.attempts)) == ("websocket", {})


@steady
async def test_a_websocket_that_is_only_slow_still_wins() -> None:
    """HTTP starts beside it, with a lower generation: the server prefers the WebSocket when it arrives."""
    async with soak_server(50) as soak:
        server, client, session = await soak.run(race_delay=0.0, upgrade_interval=(0.05, 0.1))
        assert_exactly_once(server, client, 50)
        assert len(soak.reports) == 1
        assert session.close_code == 1000


@pytest.mark.parametrize("stream", ["xhr_streaming", "sse", "multipart"])
@steady
async def test_a_held_stream_moves_the_session_to_long_polling(stream: str) -> None:
    async with soak_server(2000) as soak:
        held = soak.proxy.add(HoldResponse(match=streams))
        server, client, session = await soak.run(transports=[stream, "long_polling"], attach_timeout=5.0)
        assert_exactly_once(server, client, 2000)
        assert held.fired or held.armed
        assert session.transport == "long_polling"
        assert "held back" in session.attempts[stream]


@steady
async def test_what_holds_one_stream_holds_them_all() -> None:
    async with soak_server(10) as soak:
        held = soak.proxy.add(HoldResponse(match=streams))
        _, _, session = await soak.run(
            transports=["xhr_streaming", "sse", "multipart", "long_polling"], attach_timeout=5.0
        )
        assert held.armed == 1
        assert session.transport == "long_polling"


async def carried_by(session: realtime.ClientSession, transport: str) -> None:
    """Waits until a transport carries the session."""
    news = asyncio.Event()
    undo = session.on_change(lambda _: news.set())
    try:
        while session.transport != transport:
            news.clear()
            await news.wait()
    finally:
        undo()


async def parked(soak: Soak, **options: object) -> realtime.ClientSession:
    """A session that exchanges nothing."""
    session = await realtime.connect(soak.url, **{"attach_timeout": 1.0, **options})  # type: ignore[arg-type] # options
    soak.left.append(session)
    return session


@steady
async def test_a_websocket_that_dies_early_again_and_again_is_tried_ever_more_seldom() -> None:
    async with soak_server(1) as soak:
        killed = soak.proxy.add(KillWebSocket(after_frames=1))
        session = await parked(soak, upgrade_interval=(0.02, 0.3))
        started = asyncio.get_running_loop().time()
        await killed.wait_fired(5)
        took = asyncio.get_running_loop().time() - started
        assert took > 0.02 + 0.04 + 0.08 + 0.16 - 0.05  # each pause is twice the one before
        assert not session.closed
        killed.remove()
        await carried_by(session, "websocket")  # not latched: it comes home
        await session.close()


@steady
async def test_another_network_is_another_chance() -> None:
    """What failed in the old network says nothing about the new one."""
    async with soak_server(1) as soak:
        refused = soak.proxy.add(RefuseWebSocket())
        session = await parked(soak, upgrade_interval=(3600.0, 3600.0))
        assert "403" in session.attempts["websocket"]
        refused.remove()
        session.network_changed()
        await carried_by(session, "websocket")
        await session.close()


@steady
async def test_a_poll_upgrades_to_a_stream_when_no_websocket_gets_through() -> None:
    async with soak_server(1) as soak:
        soak.proxy.add(RefuseWebSocket())
        held = soak.proxy.add(HoldResponse(match=streams))
        session = await parked(
            soak, transports=["websocket", "sse", "long_polling"], attach_timeout=5.0, upgrade_interval=(0.05, 0.2)
        )
        await carried_by(session, "long_polling")
        held.remove()
        await carried_by(session, "sse")
        await session.close()


@steady
async def test_policy_is_no_evidence() -> None:
    """A transport that the endpoint refuses is not tried again, and not told as a failure of the network."""
    async with soak_server(10, transports=("long_polling", "polling")) as soak:
        server, client, session = await soak.run(upgrade_interval=(0.01, 0.02))
        assert_exactly_once(server, client, 10)
        assert "4406" in session.attempts["websocket"]
        assert session._context.policy.choice.history(session._now()) == {}
        asked = [event for event in soak.proxy.log if event.kind == "request" and event.request]
        assert sum(event.request.is_websocket for event in asked if event.request) == 1


async def test_the_server_learns_what_failed_and_tells_this_client_why(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "realtime.negotiation")
    async with soak_server(1) as soak, aiohttp.ClientSession() as http:
        async with http.get(f"{soak.url}/negotiate") as answer:
            before = {choice["name"]: choice for choice in (await answer.json())["transports"]}
        assert before["websocket"]["verdict"] == "offered"
        soak.proxy.add(RefuseWebSocket())
        options = {"race_delay": 40.0, "attach_timeout": 40.0}  # the poll begins when the handshake was refused
        session = await parked(soak, transports=["websocket", "long_polling"], upgrade=False, **options)
        (there,) = soak.server.sessions
        choices = {choice.name: choice for choice in there.negotiation}
        assert (choices["long_polling"].verdict, choices["websocket"].verdict) == ("taken", "demoted")
        assert choices["websocket"].reason.startswith("the client says it failed 0 s ago: the WebSocket handshake")
        assert next(c for c in session.negotiation if c["name"] == "websocket")["verdict"] == "demoted"
        lines = [record.getMessage() for record in caplog.records if record.name == "realtime.negotiation"]
        decided = [line for line in lines if line.startswith(f"session {there.label} at /soak: ")]
        assert len(decided) == 1
        # One short line: what carries, and what is known against others.
        assert decided[0].partition(": ")[2] == (
            "long_polling; websocket demoted (the client says it failed 0 s ago: in its own words)"
        )
        # Others of this network do not hear of it: anybody could say so.
        async with http.get(f"{soak.url}/negotiate?transports=websocket,polling") as answer:
            after = {choice["name"]: choice for choice in (await answer.json())["transports"]}
        assert after["websocket"]["verdict"] == "offered"
        assert after["sse"]["reason"] == "the client does not name it"
        async with http.get(f"{soak.url}/negotiate", headers={"Accept": "text/html"}) as answer:
            assert answer.content_type == "text/plain"
            assert "websocket" in await answer.text()
        async with http.post(f"{soak.url}/negotiate") as answer:
            assert (answer.status, await answer.text()) == (405, '["x4405,carrier,,negotiate takes GET, not POST"]')
        async with http.get(soak.url.replace("/soak", "/nowhere") + "/negotiate") as answer:
            assert answer.status == 404
        await session.close()
