"""What is remembered of a network: what the server saw there, of the client's own address, and no client's words."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

import realtime

from ..patience import within
from .place import Place, serving
from .raw import open_frame

pytestmark = pytest.mark.usefixtures("quiet_log")

WORDS = "call 0900-EVIL to fix this"
# A handshake whose Upgrade header somebody took out: that the server sees itself.
STRIPPED = {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13"}


async def verdicts(http: aiohttp.ClientSession, base: str, **headers: str) -> dict[str, tuple[str, str]]:
    """What this client would be offered, and why."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with within(), http.get(f"{base}/realtime/park/negotiate", headers=named) as answer:
        return {choice["name"]: (choice["verdict"], choice["reason"]) for choice in (await answer.json())["transports"]}


async def test_the_log_has_a_short_line_for_each_session_and_all_reasons_for_who_asks(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "realtime.negotiation")
    _, ordinary = await place.parked("websocket")
    await place.peer("polling", "/park").open(failed={"websocket": [WORDS, 1]}, transports=["websocket", "polling"])
    other = await place.sessions.get()
    logged = [(r.levelname, r.getMessage()) for r in caplog.records if r.name == "realtime.negotiation"]
    assert [line for level, line in logged if level == "INFO"] == [
        f"session {ordinary.label} at /park: websocket",
        f"session {other.label} at /park: polling;"
        " websocket demoted (the client says it failed 1 s ago: in its own words)",
    ]
    details = [line for level, line in logged if level == "DEBUG"]
    assert [line.partition(": ")[0] for line in details] == [f"session {s.label}" for s in (ordinary, other)]
    for line in details:
        assert all(f"{name} " in line for name in realtime.Config().transports)
    assert "polling taken (carries the session)" in details[1]
    assert "sse refused (the client does not name it)" in details[1]


@pytest.mark.parametrize("transport", ["polling", "websocket"])
async def test_what_a_client_says_counts_for_that_client(
    place: Place, transport: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    others = [name for name in realtime.Config().transports if name != transport]
    for _ in range(4):
        peer, session = await place.parked(transport)
        del session
        peer = place.peer(transport, "/park")
        opened = await peer.open(failed={name: [WORDS, 1] for name in others}, transports=[])
        mine = {choice["name"]: choice for choice in opened["transports"]}
        for name in others:
            assert mine[name]["verdict"] == "demoted"
            assert WORDS in mine[name]["reason"]
        session = await place.sessions.get()
        assert session.negotiation[-1].verdict == "demoted"
    # The next client of the same address, and of the same network.
    for name, (verdict, reason) in (await verdicts(place.http, place.base)).items():
        assert verdict == "offered", name
        assert WORDS not in reason
    opened = await place.peer("polling", "/park").open(transports=[])
    assert WORDS not in json.dumps(opened)
    assert {choice["verdict"] for choice in opened["transports"]} == {"taken", "offered"}
    assert WORDS not in caplog.text


async def test_what_the_server_saw_counts_for_the_network_of_the_client_behind_a_proxy() -> None:
    async with serving(trusted_proxies="127.0.0.1") as place:
        for path in ("/park/v1/websocket", "/park"):
            theirs, other = ("9.8.7.6", "9.8.9.1") if path == "/park" else ("4.3.2.1", "4.3.9.1")
            headers = STRIPPED | {"X-Forwarded-For": theirs}
            async with within(), place.http.get(place.url(path), headers=headers) as answer:
                assert answer.status == 400
            for address, verdict in ((theirs, "demoted"), (theirs[:-1] + "99", "demoted"), (other, "offered")):
                assert (await verdicts(place.http, place.base, X_Forwarded_For=address))["websocket"][0] == verdict
        assert (await verdicts(place.http, place.base))["websocket"][0] == "offered"  # the proxy's own


@asynccontextmanager
async def both(rt: realtime.Server) -> AsyncIterator[int]:
    """The server, listening for IPv6 and IPv4 on one socket, where clients of IPv4 are ::ffff:…; its port."""
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no socket for both")
    listener = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    app = web.Application()
    realtime.setup(app, rt)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    try:
        yield listener.getsockname()[1]
    finally:
        await runner.cleanup()


async def test_clients_of_ipv4_on_a_listener_for_both() -> None:
    """One client with a bad network is none of the others' business."""
    rt = realtime.Server(shutdown_timeout=0.3, max_sessions_per_address=1)
    remotes: asyncio.Queue[str | None] = asyncio.Queue()

    @rt.endpoint("/park")
    async def park(session: realtime.Session) -> None:
        remotes.put_nowait(session.request.remote)
        await session.wait_closed()

    async with both(rt) as port:
        base = f"http://127.0.0.1:{port}"

        def client(address: str) -> aiohttp.ClientSession:
            return aiohttp.ClientSession(connector=aiohttp.TCPConnector(local_addr=(address, 0)))

        async with client("127.0.0.1") as one, client("127.77.0.1") as other:
            async with within(), one.get(f"{base}/realtime/park/v1/websocket", headers=STRIPPED) as answer:
                assert answer.status == 400
            assert (await verdicts(one, base))["websocket"][0] == "demoted"
            assert (await verdicts(other, base))["websocket"][0] == "offered"
            for http, address in ((one, "127.0.0.1"), (other, "127.77.0.1")):
                body = json.dumps([open_frame()])
                async with within(), http.post(f"{base}/realtime/park/v1/polling", data=body) as answer:
                    assert answer.status == 200
                async with within():
                    assert await remotes.get() == address
