"""The doctor before everything that networks do to a transport (the fault proxy's list), and before odd servers."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from yarl import URL

import realtime
from realtime.client.doctor import STATES, Examination, Finding, examine
from realtime.client.doctor.examination import _order
from realtime.client.doctor.findings import Blocked
from realtime.client.doctor.probes import Stream
from realtime.client.doctor.probing import Probe, Target
from realtime.client.doctor.remedies import remedies
from realtime.client.drivers.webtransport import Place
from realtime.client.wire import browsers_only, own_transports
from realtime.testing import (
    Answer,
    BlackHole,
    Cut,
    DropRequest,
    DropResponse,
    Fault,
    FaultProxy,
    HangWebSocket,
    HoldResponse,
    KillWebSocket,
    Lag,
    ProxiedRequest,
    RefuseWebSocket,
    ResetWebSocket,
    StripUpgrade,
    TruncateRequest,
    make_certificate,
    serve,
)

from ..patience import arrives, leap, steady

NO_TLS = "no TLS is spoken at 127.0.0.1 port [0-9]+: the URL may have to begin with http:"
STREAMS = ("sse", "xhr_streaming", "multipart")


@asynccontextmanager
async def echo(**settings: Any) -> AsyncIterator[tuple[realtime.Server, FaultProxy, str]]:
    """A server with an echo, a fault proxy before it, and the endpoint's URL through that."""
    rt = realtime.Server(**settings)

    @rt.endpoint("/echo")
    async def handle(session: realtime.Session) -> None:
        async for message in session:
            await session.send(message)

    async with serve(rt) as server:
        assert server.port is not None
        async with FaultProxy("127.0.0.1", server.port) as proxy:
            yield rt, proxy, f"{proxy.url}/realtime/echo"
            proxy.clear()


def states(found: Examination) -> dict[str, str]:
    """What was found, without what is as it should be."""
    return {finding.transport: finding.state for finding in found.findings if finding.state != "ok"}


def streams(request: ProxiedRequest) -> bool:
    """The long responses."""
    return any(f"/v1/{name}" in request.target for name in STREAMS)


def websockets(request: ProxiedRequest) -> bool:
    """Handshakes."""
    return request.is_websocket


def polls(request: ProxiedRequest) -> bool:
    """Held polls, the one that opens aside."""
    return "/v1/long_polling" in request.target


@steady
async def test_all_is_well() -> None:
    async with echo() as (rt, _, url):
        found = await examine(url, patience=0.1)
        assert states(found) == {}
        assert found.order == own_transports()
        assert found.advice == ()
        assert found.realtime
        assert found.through
        assert len(rt) == 0, "a session lingers"


@pytest.mark.parametrize(
    ("fault", "state", "word"),
    [
        (RefuseWebSocket(status=403), "refused", "403"),
        (RefuseWebSocket(status=502), "refused", "502"),
        (RefuseWebSocket(status=200), "foreign", "200"),
        (StripUpgrade(), "stripped", "Upgrade"),
        (HangWebSocket(), "hung", "never answered"),
        (ResetWebSocket(), "cut", "cut"),
        (KillWebSocket(after_frames=1), "cut", "at once"),
        (BlackHole(match=websockets, direction="to_server", after_writes=1), "mute", "not answered"),
        (BlackHole(match=websockets, direction="to_client", after_bytes=140), "mute", "nothing comes"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Fault) else None,
)
@steady
async def test_what_happens_to_websockets(fault: Fault, state: str, word: str) -> None:
    async with echo() as (_, proxy, url):
        rule = proxy.add(fault)
        found = await examine(url, patience=0.1, timeout=4, transports=["websocket", "polling"])
        assert rule.fired
        assert states(found) == {"websocket": state}, found
        assert word in found.findings[0].what
        assert not found.findings[0].through
        assert found.order == ("polling",)
        assert len(found.advice) == 1


@pytest.mark.parametrize(
    ("fault", "state"),
    [
        (HoldResponse(match=streams), "buffered"),
        (BlackHole(match=streams, direction="to_client"), "hung"),
        (Answer(match=streams, status=403, body=b"no streams here"), "refused"),
        (Answer(match=streams, status=200, body=b"<html>log in first</html>"), "foreign"),
        (Cut(match=streams, after_bytes=500), "cut"),
        (Lag(seconds=0.3, match=streams), "lagged"),
        (DropResponse(match=streams), "cut"),
        (DropRequest(match=streams, end="hang"), "hung"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Fault) else None,
)
@steady
async def test_what_happens_to_streams(fault: Fault, state: str) -> None:
    async with echo() as (_, proxy, url):
        proxy.add(fault)
        found = await examine(url, patience=0.1, timeout=8, transports=[*STREAMS, "long_polling"])
        assert states(found) == dict.fromkeys(STREAMS, state), found
        assert found.order == ("long_polling",) if state != "lagged" else found.order[0] == "long_polling"
        assert found.advice


@pytest.mark.parametrize("transport", ["websocket", *STREAMS])
@steady
async def test_idle_connections_that_are_cut(transport: str) -> None:
    async with echo() as (_, proxy, url):
        proxy.add(Cut(after_idle=0.5))
        found = await examine(url, patience=2, transports=[transport])
        (finding,) = found.findings
        assert (finding.state, finding.through) == ("cut", True)
        assert finding.cut_after is not None
        assert 0.4 < finding.cut_after < 1.5


@steady
async def test_held_polls_that_are_cut() -> None:
    async with echo() as (_, proxy, url):
        proxy.add(Cut(match=polls, after_seconds=0.5, skip=1))
        found = await examine(url, patience=2, transports=["long_polling"])
        (finding,) = found.findings
        assert (finding.state, finding.through) == ("cut", True)


@steady
async def test_held_polls_that_are_never_answered() -> None:
    async with echo() as (_, proxy, url):
        proxy.add(DropResponse(match=polls, skip=1, end="hang"))
        found = await examine(url, patience=0.2, transports=["long_polling"])
        assert states(found) == {"long_polling": "mute"}
        assert not found.through


@steady
async def test_pings_of_the_server_are_answered_while_idle() -> None:
    """A server that pings often takes nobody for gone, and nothing is called idle that is not."""
    async with echo(ping_interval=0.2, ping_timeout=2.0) as (rt, _, url):
        found = await examine(url, patience=3.0)
        assert states(found) == {}
        assert len(rt) == 0


@steady
async def test_policy_is_no_evidence() -> None:
    async with echo(transports=("websocket", "long_polling")) as (_, _, url):
        found = await examine(url, patience=0.1)
        assert states(found) == dict.fromkeys((*STREAMS, "polling"), "policy")
        assert found.order == ("websocket", "long_polling")
        (advice,) = found.advice
        assert "says nothing about the network" in advice


@steady
async def test_a_server_that_lets_nobody_in() -> None:
    async with echo() as (rt, _, url):

        @rt.authorize
        async def nobody(request: realtime.SessionRequest) -> str | None:
            if request.auth != "let me":
                raise realtime.Unauthorized("who are you?")
            return "somebody"

        found = await examine(url, patience=0.1)
        assert set(states(found).values()) == {"policy"}
        assert "4401" in found.findings[0].what
        assert found.realtime
        assert not found.through
        (advice,) = found.advice
        assert "--auth" in advice
        found = await examine(url, patience=0.1, auth="let me")
        assert states(found) == {"sse": "skipped", "multipart": "skipped"}
        assert len(rt) == 0


@steady
async def test_an_endpoint_whose_handler_returns_or_talks_at_once() -> None:
    rt = realtime.Server()

    @rt.endpoint("/brief")
    async def brief(session: realtime.Session) -> None:
        pass

    @rt.endpoint("/busy")
    async def busy(session: realtime.Session) -> None:
        for number in range(500):
            await session.send(f"{number}")

    async with serve(rt) as server:
        for path in ("brief", "busy"):
            found = await examine(server.make_url(f"/realtime/{path}"), patience=0.2)
            assert found.through, found
            assert set(states(found).values()) <= {"ended"}, found
        assert len(rt) == 0


@steady
async def test_a_small_window_is_not_exceeded() -> None:
    """A handler that never receives, with the smallest window there is."""
    rt = realtime.Server(max_queue=16, max_queue_size=65_536, max_batch=18)

    @rt.endpoint("/deaf")
    async def deaf(session: realtime.Session) -> None:
        await asyncio.Event().wait()

    async with serve(rt, shutdown_timeout=0.1) as server:
        found = await examine(server.make_url("/realtime/deaf"), patience=0.2)
        assert states(found) == {}


@steady
async def test_applications_see_no_message() -> None:
    seen: list[object] = []
    rt = realtime.Server()

    @rt.endpoint("/watch")
    async def watch(session: realtime.Session) -> None:
        async for message in session:
            seen.append(message)
        seen.append((session.close_code, session.dropped))

    async with serve(rt) as server:
        found = await examine(server.make_url("/realtime/watch"), patience=0.1)
        assert states(found) == {}
    assert seen == [(1000, 0)] * len(own_transports())


@steady
async def test_a_path_where_nothing_is() -> None:
    async with echo() as (_, proxy, _):
        found = await examine(f"{proxy.url}/elsewhere", patience=0.1)
        assert set(states(found).values()) == {"foreign"}
        assert not found.realtime
        assert "check the path" in found.advice[0]
        found = await examine(f"{proxy.url}/realtime/elsewhere", patience=0.1)
        assert set(states(found).values()) == {"policy"}
        (advice,) = found.advice
        assert "there is no endpoint /elsewhere" in advice
        assert "/realtime/chat" in advice


@steady
async def test_a_server_that_is_something_else() -> None:
    async def page(request: web.Request) -> web.Response:
        return web.Response(text="[]" if request.method == "POST" else "<html>", headers={"Server": "other/1"})

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", page)
    async with serve(app) as server:
        found = await examine(server.make_url("/chat"), patience=0.1)
        assert set(states(found).values()) == {"foreign"}
        assert "other/1" in found.findings[0].what


@steady
async def test_nobody_listens(unused_tcp_port: int) -> None:
    found = await examine(f"http://127.0.0.1:{unused_tcp_port}/realtime/echo")
    assert set(states(found).values()) == {"unreachable"}
    assert "refused" in found.findings[0].what
    assert found.seconds < 10


@steady
async def test_http_and_https_are_mixed_up(tmp_path: Path) -> None:
    made = make_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.certificate, made.key)
    app = web.Application()
    realtime.setup(app, realtime.Server())
    encrypted = TestServer(app, scheme="https")
    await encrypted.start_server(ssl=context)
    async with serve(realtime.Server()) as plain, encrypted:  # which has started
        http = encrypted.make_url("/realtime/echo").with_scheme("http")
        for url, state, words, advice in (
            (plain.make_url("/realtime/echo").with_scheme("https"), "unreachable", NO_TLS, ""),
            (http.with_scheme("https"), "untrusted", "is not trusted: self-signed certificate", "SSL_CERT_FILE="),
            (http, "cut", "without an answer", "If TLS is spoken at that port, the URL begins with https:."),
        ):
            found = await examine(url, transports=["websocket", "polling"])
            assert states(found) == {"websocket": state, "polling": state}
            assert re.search(words, found.findings[0].what)
            assert advice in "".join(found.advice[-1:])
            with pytest.raises(realtime.NegotiationError, match=words):
                await realtime.connect(url, backoff=(0.01, 0.02))


@steady
async def test_a_black_hole_takes_no_longer_than_the_time_out() -> None:
    async with echo() as (_, proxy, url):
        proxy.add(BlackHole())
        found = await examine(url, timeout=3)
        assert set(states(found).values()) == {"hung"}
        assert not found.through
        assert found.seconds < 3.5


@steady
async def test_answers_that_take_too_long_for_everything() -> None:
    """Each answer comes in time, all of them together do not: what was seen counts."""
    async with echo() as (_, proxy, url):
        proxy.add(HoldResponse(seconds=0.7, match=lambda request: request.method == "POST"))
        found = await examine(url, timeout=3, transports=["polling", "long_polling", "websocket"])
        assert found.seconds < 3.5
        assert {finding.transport: finding.state for finding in found.findings}["websocket"] == "ok"


@steady
async def test_bodies_that_are_cut_on_the_way() -> None:
    async with echo() as (_, proxy, url):
        proxy.add(TruncateRequest())
        found = await examine(url, timeout=4, transports=["long_polling", "polling"])
        assert not found.through


@steady
async def test_two_servers_that_do_not_know_each_others_sessions() -> None:
    """What several workers without stickiness look like."""
    async with echo() as (_, _, one), echo() as (_, _, other):
        turn = 0

        async def balance(request: web.Request) -> web.Response:
            nonlocal turn
            turn += 1
            to = (one, other)[turn % 2].rpartition("/realtime")[0]
            async with (
                aiohttp.ClientSession() as http,
                http.request(request.method, to + request.path_qs, data=await request.read()) as response,
            ):
                return web.Response(status=response.status, body=await response.read())

        app = web.Application()
        app.router.add_route("*", "/{rest:.*}", balance)
        async with serve(app) as server:
            found = await examine(server.make_url("/realtime/echo"), transports=["polling"], patience=0.1)
            assert states(found) == {"polling": "astray"}
            assert "different servers" in found.advice[0]
            assert found.order == ()


def test_what_went_astray_elsewhere_is_not_recommended() -> None:
    """Whoever got through with more than one request was lucky."""
    findings = [Finding("websocket", through=True, state="cut"), Finding("sse", state="astray")]
    findings += [Finding(name, through=True, state="ok") for name in ("xhr_streaming", "long_polling", "polling")]
    assert _order(findings) == ("websocket",)
    assert _order(findings[2:]) == ("xhr_streaming", "long_polling", "polling")


@pytest.mark.parametrize(("state", "through"), [("astray", False), ("ended", True)])
async def test_who_goes_astray_later_has_not_got_through(state: str, through: bool) -> None:
    async def run(probe: Probe) -> None:
        probe.finding.through = True
        raise Blocked(state, "later")

    probe = Probe(nowhere(), Finding("long_polling"))
    await probe.run(run)
    assert (probe.finding.state, probe.finding.through) == (state, through)


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("nonsense", {}),
        ("ftp://localhost/x", {}),
        ("http://[::1/x", {}),
        ("http://localhost/x", {"transports": ["pigeon"]}),
        ("http://localhost/x", {"proxy": "socks5://localhost:1"}),
        ("http://localhost/x", {"proxy": "http://[::"}),
        ("http://localhost/x", {"timeout": 0}),
        ("http://localhost/x", {"patience": -1}),
    ],
)
async def test_wrong_arguments(url: str, options: dict[str, Any]) -> None:
    with pytest.raises(realtime.LocalProtocolError):
        await examine(url, **options)


def nowhere() -> Target:
    """A target that no request is made from."""
    return Target(
        url=URL("http://localhost/"),
        headers={},
        auth=None,
        proxy=None,
        http=aiohttp.ClientSession,
        step=1.0,
        patience=1.0,
        goodbye=1.0,
        deadline=1.0,
        realtime=True,
    )


async def test_a_pause_of_this_process_is_not_blamed_on_the_network() -> None:
    stream = Stream(Probe(nowhere(), Finding("sse")))
    come: list[str] = []
    waiting = asyncio.create_task(stream.until(lambda: come, 40.0))
    await asyncio.sleep(0)
    leap(60)  # as if the process had been stopped
    await asyncio.sleep(0.01)
    come.append("what lay in the socket all the time")
    stream._news.set()
    assert await arrives(waiting)


@pytest.mark.parametrize("name", browsers_only())
async def test_what_only_browsers_run_is_not_tried(name: str) -> None:
    with pytest.raises(realtime.LocalProtocolError, match=f"only browsers run {name}"):
        await examine("http://127.0.0.1:9/", transports=[name])


@pytest.mark.parametrize("transport", ["sse", "webtransport"])
@pytest.mark.parametrize("state", STATES)
def test_every_state_is_advised_on_in_whole_sentences(state: str, transport: str) -> None:
    finding = Finding(transport, state=state, what="something", status=403, code=4406, lag=0.2, cut_after=1.0)
    target = nowhere()
    target.webtransport = Place("localhost", 4433, b"")
    for advice in remedies([finding], target):
        assert advice.endswith((".", ").", "port."))
        assert "{" not in advice


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"transports": ()}, realtime.LocalProtocolError),
        ({"transports": ["polling", "polling"]}, realtime.LocalProtocolError),
        ({"transports": [3]}, TypeError),
        ({"auth": object()}, TypeError),
        ({"auth": float("nan")}, realtime.LocalProtocolError),
        ({"headers": {"X": "a\nb"}}, realtime.LocalProtocolError),
        ({"headers": {"X": 3}}, TypeError),
    ],
)
async def test_a_wrong_argument_is_told_before_anything_is_tried(wrong: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(wrong))):
        await examine("http://127.0.0.1:1/x", **wrong)


@pytest.mark.parametrize("answer", [["oranges"], ["xylophone"]])
async def test_what_looks_like_a_batch_and_is_none_is_a_finding(answer: list[str]) -> None:
    """As of an API that answers with lists of words."""

    async def say(request: web.Request) -> web.Response:
        return web.json_response(answer)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", say)
    async with serve(app) as server:
        found = await examine(server.make_url("/x"), transports=["polling"], patience=0)
    assert [finding.state for finding in found.findings] == ["altered"]
    assert not found.through
