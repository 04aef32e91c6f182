"""What the client makes of failures: when it comes back at once and when later, how patient it is, what it reads, and
when it says that nothing gets through.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web

import realtime
from realtime.client import ClientSession
from realtime.client.carrying import Carrying
from realtime.client.drivers import drive
from realtime.client.ends import CarrierEnd
from realtime.client.exchange import POST, hello, request, retry_after
from realtime.client.links import PollLink
from realtime.core.carrier import NumberedCarrier
from realtime.core.client_machine import NO_KEY, Attach
from realtime.core.config import Config
from realtime.core.errors import Refusal
from realtime.testing import (
    Answer,
    BlackHole,
    Cut,
    DropResponse,
    Fault,
    FaultProxy,
    HangWebSocket,
    KillWebSocket,
    ProxiedRequest,
    Rule,
    VirtualClock,
    serve,
)

from ..patience import arrives, eventually, steady, within
from .test_client import echo_server

ALL = ["websocket", "xhr_streaming", "sse", "multipart", "long_polling", "polling"]
FAST: dict[str, Any] = {"backoff": (0.01, 0.05)}


def on(*names: str) -> Callable[[ProxiedRequest], bool]:
    """Requests of these transports, or "send"."""
    return lambda request: request.path.rpartition("/")[2] in names


@contextlib.asynccontextmanager
async def place(**settings: Any) -> AsyncIterator[tuple[realtime.Server, FaultProxy, str]]:
    """A server with /echo behind a proxy, and its URL there."""
    server = echo_server(**settings)
    async with serve(server) as running:
        assert running.port is not None
        async with FaultProxy("127.0.0.1", running.port) as proxy:
            yield server, proxy, f"{proxy.url}/realtime/echo"


def pauses(session: ClientSession) -> list[float]:
    """The pauses that the session makes from now on; each takes no time."""
    made: list[float] = []

    async def sleep(seconds: float) -> None:
        made.append(seconds)
        await asyncio.sleep(0)

    session._context.sleep = sleep  # type: ignore[method-assign] # watches
    return made


# -- coming back -----------------------------------------------------------------------------------------------------


def cut_behind_the_attach(proxy: FaultProxy, name: str) -> Rule:
    """Every carrier attaches, and is gone before anything else comes over it."""
    if name == "websocket":
        return proxy.add(KillWebSocket(after_frames=1))
    if name == "polling":
        return proxy.add(DropResponse(match=on(name), every=2))  # a poll that is answered, and one that is not
    return proxy.add(Cut(match=on(name), after_idle=0.05))


@pytest.mark.parametrize("transport", ALL)
async def test_a_carrier_that_only_attaches_is_not_started_again_at_once(transport: str) -> None:
    """Whatever cuts each of them behind its attach: the pauses grow as they do for one that never got through."""
    async with place() as (_, proxy, url):
        session = await realtime.connect(url, transports=[transport], upgrade=False, backoff=(0.01, 0.64))
        try:
            cutting = cut_behind_the_attach(proxy, transport)
            proxy.cut()
            policy = session._context.policy
            await eventually(lambda: policy.fails > 6)
            assert not session.closed
            cutting.remove()
            await session.send("through at last")
            assert await arrives(session.receive()) == "through at last"
            await eventually(lambda: policy.fails == 0)  # something was delivered: all is forgotten
        finally:
            await session.close()


@pytest.mark.parametrize("transport", ALL)
async def test_a_message_either_way_is_a_delivery(transport: str) -> None:
    async with place() as (server, _, url), realtime.connect(url, transports=[transport]) as session:
        await eventually(lambda: session.state == "open")
        session._context.policy.fails = 5
        (there,) = server.sessions
        await there.send("down")
        assert await arrives(session.receive()) == "down"
        await eventually(lambda: session._context.policy.fails == 0)


async def test_sessions_that_end_at_once_are_not_reopened_at_once(caplog: pytest.LogCaptureFixture) -> None:
    """`async for`: a handler that raises before it has said anything is not asked again at once, for ever."""
    server = realtime.Server()
    waits: list[float] = []

    @server.endpoint("/broken")
    async def broken(session: realtime.Session) -> None:
        raise RuntimeError("always")

    async with serve(server) as running:
        url = running.make_url("/realtime/broken")
        sleep = asyncio.sleep

        async def watched(seconds: float, result: object = None) -> object:
            if seconds:
                waits.append(seconds)
            return await sleep(0, result)

        connecting = realtime.connect(url, backoff=(4.0, 64.0))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("realtime.client.asyncio.sleep", watched)
            seen = 0
            async for session in connecting:
                await session.wait_closed()
                assert session.close_code == 1011
                seen += 1
                if seen == 6:
                    break
    grown = [wait for wait in waits if wait >= 4.0]
    assert len(grown) >= 5
    assert grown[4] >= 32.0
    caplog.clear()


async def test_a_handshake_that_is_never_answered_blocks_nothing() -> None:
    """Neither the next attempt of its session, nor another session of the same HTTP client meanwhile."""
    async with place() as (_, proxy, url), aiohttp.ClientSession() as http:
        session = await realtime.connect(url, transports=["websocket"], http=http, attach_timeout=2.0, **FAST)
        hung = proxy.add(HangWebSocket(times=1))
        proxy.cut(rst=True)
        await arrives(hung.wait_fired())
        async with realtime.connect(url, transports=["websocket"], http=http) as other:
            await other.send("beside it")
            assert await arrives(other.receive()) == "beside it"
        await session.send("after it")
        assert await arrives(session.receive()) == "after it"
        await session.close()


async def test_a_session_whose_tasks_were_all_cancelled_is_closed_at_once() -> None:
    """So asyncio.run() ends, before the generator of an `async for`: after a Ctrl-C that took close_timeout."""
    async with place() as (_, _, url):
        session = await realtime.connect(url, close_timeout=3600.0)
        tasks = {task for task in asyncio.all_tasks() if task.get_name().startswith("realtime client")}
        for task in tasks:
            task.cancel()
        await arrives(session.close())  # they have not ended yet
        assert session.close_code == 4412


async def test_a_better_poll_that_is_refused_disturbs_nothing() -> None:
    """Only what has answered takes over: the poll in use is not given up for one that does not get through."""
    async with place() as (_, proxy, url):
        refused = proxy.add(Answer(status=403, match=on("polling")))
        async with realtime.connect(
            url, transports=["polling", "long_polling"], upgrade_interval=(0.01, 0.02), **FAST
        ) as session:
            await eventually(lambda: session.transport == "long_polling" and session.state == "open")
            seen: list[str] = []
            session.on_change(lambda _: seen.append(session.state))
            await arrives(refused.wait_fired(refused.fired + 3))
            assert set(seen) <= {"open"}
            refused.remove()
            await eventually(lambda: session.transport == "polling" and session.state == "open")


# -- patience --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transports", [["websocket"], ["long_polling"], ["sse"], None], ids=str)
async def test_a_slow_hook_lets_the_client_in(transports: list[str] | None) -> None:
    """A hook that takes longer than `attach_timeout`: later attempts are more patient, within `open_timeout`."""
    asked = 0

    async def slow(request: realtime.SessionRequest) -> str:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0.25)
        return "somebody"

    async with place() as (server, _, url):
        server.authorize(slow)
        session = await arrives(realtime.connect(url, transports=transports, attach_timeout=0.1, open_timeout=40.0))
        await session.send("in")
        assert await arrives(session.receive()) == "in"
        await session.close()


# -- what is read ----------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def hostile(prelude: bytes, headers: dict[str, str]) -> AsyncIterator[tuple[str, list[int]]]:
    """A server whose every answer goes on for ever; how many bytes of each it got rid of."""
    sent: list[int] = []

    async def endless(request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade"):
            raise web.HTTPForbidden
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        number = len(sent)
        sent.append(0)
        await response.write(prelude)
        with contextlib.suppress(ConnectionError):
            while sent[number] < 400_000_000:
                await response.write(b"x" * 65536)
                sent[number] += 65536
        return response

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", endless)
    async with serve(app) as running:
        yield str(running.make_url("/realtime/echo")), sent


@pytest.mark.parametrize("transport", ["xhr_streaming", "sse", "multipart", "long_polling", "polling"])
@pytest.mark.parametrize("prelude", [b'["o', b'data: ["o', b"<html>"], ids=["batch", "event", "page"])
async def test_an_endless_answer_is_not_read(transport: str, prelude: bytes) -> None:
    async with hostile(prelude, {"Content-Type": "text/plain"}) as (url, sent):
        with pytest.raises(realtime.NegotiationError):
            async with within("an answer that never ends"):
                await realtime.connect(url, transports=[transport], attach_timeout=60.0, open_timeout=40.0)
    limit = realtime.client.connect("http://x")._config.max_answer
    assert limit < 7_000_000
    assert all(size < limit + 16_000_000 for size in sent)  # what sockets and aiohttp hold of it is counted too
    assert sum(sent) > 0


@pytest.mark.parametrize("transport", ALL)
async def test_a_message_larger_than_all_that_may_come_ends_the_session(transport: str) -> None:
    """Not only the carrier: the server would send it again on each."""
    async with place(max_outbox_size=40_000_000) as (server, _, url):
        async with realtime.connect(
            url, transports=[transport], max_size=1000, max_queue_size=65_536, upgrade=False
        ) as session:
            await eventually(lambda: session.state == "open")
            (there,) = server.sessions
            await there.send("x" * 1_000_000)
            with pytest.raises(realtime.SessionClosed):
                await arrives(session.receive())
        assert session.close_code == 1009


@pytest.mark.parametrize("said", [{"max_size": 2**40}, {"max_batch": [2**40, 1000]}, {"resume_window": 1e12}])
async def test_a_server_that_says_it_is_what_none_can_be_is_told_from_a_fault_of_this_client(
    said: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    opened = {
        "sid": "session", "key": "k" * 20, "ack": [0, 0], "window": [16, 65536], "max_size": 1000,
        "max_batch": [16, 1000], "ping_interval": 25, "ping_timeout": 20, "resume_window": 120, "poll_interval": [1, 5],
        "transports": [], **said,
    }  # fmt: skip

    async def answer(request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        await ws.send_str(f"o{json.dumps(opened)}")
        async for _ in ws:
            pass
        return ws

    app = web.Application()
    app.router.add_get("/x/v1/websocket", answer)
    async with serve(app) as running, within():
        with pytest.raises(realtime.NegotiationError, match=f"1002 .the server's o has {next(iter(said))}"):
            await realtime.connect(running.make_url("/x"), transports="websocket")
    assert not caplog.records


# -- ends and beginnings at the wrong moment -------------------------------------------------------------------------


def beside(session: ClientSession, name: str, role: str) -> tuple[Carrying, list[CarrierEnd]]:
    """A carrier that the policy knows nothing of, and how it ended."""
    ends: list[CarrierEnd] = []
    carrying = Carrying(session._context, 999, name, role, lambda _, end: ends.append(end))
    if role == "open":
        carrying.gen = 7
    return carrying, ends


@pytest.mark.parametrize("transport", ALL)
@pytest.mark.parametrize("role", ["carry", "open", "probe"])
async def test_no_carrier_is_started_after_the_end(transport: str, role: str, caplog: pytest.LogCaptureFixture) -> None:
    async with place() as (_, proxy, url):
        session = await realtime.connect(url, transports=[transport])
        session._machine.end(4999, "over", session._now())
        asked = len(proxy.log)
        carrying, _ = beside(session, transport, role)
        assert (await drive(session._context, carrying)).what == "ended with the session"
        assert carrying.carrier is None
        session._supervisor.turn_soon()
        await session.close()
        assert session.close_code == 4999
        assert not [event for event in proxy.log[asked:] if event.kind == "request" and "/send" not in str(event)]
    assert caplog.records == []


async def test_an_upgrade_that_comes_after_the_end(caplog: pytest.LogCaptureFixture) -> None:
    async with place() as (_, _, url):
        session = await realtime.connect(url, transports=["websocket", "polling"])
        await eventually(lambda: session.state == "open")
        carrying, _ = beside(session, "websocket", "probe")
        proven = asyncio.Event()
        carrying.tell_proven = proven.set  # type: ignore[method-assign] # watches
        driving = asyncio.ensure_future(drive(session._context, carrying))
        await arrives(proven.wait())
        session._machine.end(4999, "over", session._now())
        carrying.taken.set()
        assert (await arrives(driving)).what == "ended with the session"
        assert carrying.carrier is None
        await session.close()
    assert caplog.records == []


async def fails(*_: object) -> None:
    """A bug."""
    raise RuntimeError("a bug of ours")


async def cancelled(*_: object) -> None:
    """A future of aiohttp's, or of a resolver's, was cancelled: nobody has cancelled the task that waits for it."""
    raise asyncio.CancelledError("a bug of ours")


FAULTS = pytest.mark.parametrize("fault", [fails, cancelled])


async def test_a_helper_that_fails_ends_no_session(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The POST that tests a stream, here: the log has a traceback, the session what it had."""
    monkeypatch.setattr("realtime.client.supervisor.post_beside", fails)
    async with place() as (_, _, url), realtime.connect(url, transports=["sse", "polling"], upgrade=False) as session:
        await eventually(lambda: session.transport == "sse")
        await session.send("alive")
        assert await arrives(session.receive()) == "alive"
    assert session.close_code == 1000
    assert {record.getMessage().split(" of session")[0] for record in caplog.records} == {
        "the task realtime client stream test"
    }
    caplog.clear()


@FAULTS
async def test_a_carrier_whose_task_fails_is_a_carrier_lost(
    fault: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with place() as (_, proxy, url), realtime.connect(url, transports=["websocket"], **FAST) as session:
        with monkeypatch.context() as patch:
            patch.setattr("realtime.client.supervisor.drive", fault)
            proxy.cut(rst=True)
            await eventually(lambda: session._context.policy.fails >= 3)
        assert "a bug of ours" in session.attempts["websocket"]
        await session.send("alive")
        assert await arrives(session.receive()) == "alive"
    assert session.close_code == 1000
    assert len(caplog.records) >= 2
    caplog.clear()


@FAULTS
@pytest.mark.parametrize("transport", ["sse", "long_polling"])
async def test_a_send_that_fails_in_this_client_is_a_send_that_is_repeated(
    transport: str, fault: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with place() as (_, _, url), realtime.connect(url, transports=[transport], upgrade=False, **FAST) as session:
        await eventually(lambda: session.transport == transport and session.state == "open")
        with monkeypatch.context() as patch:
            patch.setattr("realtime.client.uplink.request", fault)
            await session.send("alive")
            await eventually(lambda: session._context.policy.posts_failed >= 3)
        assert await arrives(session.receive()) == "alive"
    assert session.close_code == 1000
    assert len(caplog.records) >= 3
    caplog.clear()


async def test_a_stream_that_goes_silent_while_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    """What the machine finds out about a carrier that is being let go of ends nothing else."""
    async with place() as (_, _, url), realtime.connect(url, transports=["sse", "polling"], upgrade=False) as session:
        await eventually(lambda: session.transport == "sse" and session.state == "open")
        (carrying,) = session._supervisor._under_way.values()
        assert carrying.carrier is not None
        link = carrying.carrier.link
        link.abort()
        link.abort()
        carrying.let_go()
        carrying.finish(CarrierEnd("sse", "too late"))
        await session.send("alive")
        assert await arrives(session.receive()) == "alive"
    assert session.close_code == 1000
    assert caplog.records == []


async def test_the_refusal_of_a_late_open_is_its_carriers_affair() -> None:
    """Two carriers open one session; one of them is used, the other comes too late, and its refusal says `carrier`."""
    async with place() as (_, _, url), realtime.connect(url, transports=["websocket"], upgrade=False) as session:
        await session.send("in use")
        assert await arrives(session.receive()) == "in use"
        first = POST.text(hello(session._context, Attach("", 1, 0, 0, 1, NO_KEY)))
        carrier = NumberedCarrier(POST, PollLink(), session._now())
        answer = await request(session._context, "long_polling", [first], 30.0)
        end = session._context.feed(carrier, answer.frames)
        assert end is not None
        assert isinstance(end.refusal, Refusal)
        assert (end.refusal.code, end.refusal.scope) == (4409, "carrier")
        assert session.state == "open"
        await session.send("still in use")
        assert await arrives(session.receive()) == "still in use"
    assert session.close_code == 1000


# -- sends that do not get through -----------------------------------------------------------------------------------

REFUSALS: dict[str, Answer] = {
    "a firewall's page": Answer(status=403, match=on("send"), body=b"<h1>Forbidden</h1>"),
    "nothing there": Answer(status=502, match=on("send")),
    "our own": Answer(status=400, match=on("send"), body=b'["x4400,carrier,,the batch is empty"]'),
}


@pytest.mark.parametrize("answer", REFUSALS.values(), ids=REFUSALS.keys())
@pytest.mark.parametrize("transport", ["xhr_streaming", "sse", "multipart", "long_polling"])
@pytest.mark.parametrize("other", ["websocket", "polling"])
@steady
async def test_sends_that_are_refused_move_the_session(transport: str, other: str, answer: Answer) -> None:
    """To what carries messages up by itself, wherever that stands in the order."""
    async with place() as (_, proxy, url):
        async with realtime.connect(url, transports=[transport, other], **FAST) as session:
            await eventually(lambda: session.transport == transport and session.state == "open")
            proxy.add(answer)
            await session.send("up")
            assert await arrives(session.receive()) == "up"
            assert session.transport == other
            assert "does not get through" in session.attempts[transport]
        assert session.close_code == 1000


@pytest.mark.parametrize("transport", ["xhr_streaming", "sse", "multipart", "long_polling"])
async def test_sends_that_are_refused_are_repeated_ever_more_seldom_and_end_the_session(transport: str) -> None:
    """Where there is nothing else: the stream is fine, so nobody else would ever say that nothing gets through."""
    async with place(resume_window=60.0, ping_interval=600.0, ping_timeout=30.0) as (_, proxy, url):
        clock = VirtualClock(1000.0)
        session = await realtime.connect(url, transports=[transport], upgrade=False, clock=clock)
        await eventually(lambda: session.transport == transport and session.state == "open")
        made: list[float] = []

        async def sleep(seconds: float) -> None:
            made.append(seconds)
            clock.advance(seconds)
            await asyncio.sleep(0)

        session._context.sleep = sleep  # type: ignore[method-assign] # passes the time
        session._machine.server = Config(resume_window=60.0, ping_interval=20.0, ping_timeout=20.0)
        session._context.policy.lifetime = session._machine.server.lifetime
        refused = proxy.add(Answer(status=403, match=on("send")))
        await session.send("up")
        with pytest.raises(realtime.SessionClosed):
            await arrives(session.receive())
        assert session.close_code == 4411
        assert "403" in (session.close_reason or "")
        assert session.unacknowledged == ["up"]
        for number, pause in enumerate(made[:8]):
            grown = min(0.1 * 2**number, 10.0)
            assert grown / 2 <= pause <= grown
        assert refused.fired < 30  # in 100 s, of which the first need not be told
        await session.close()


async def test_retry_after_is_heeded() -> None:
    async with place() as (_, proxy, url), realtime.connect(url, transports=["sse"], upgrade=False) as session:
        await eventually(lambda: session.transport == "sse" and session.state == "open")
        made = pauses(session)
        proxy.add(Answer(status=503, headers=(("Retry-After", "7"),), match=on("send"), times=1))
        await session.send("up")
        assert await arrives(session.receive()) == "up"
        assert [pause for pause in made if pause > 6.0]


@pytest.mark.parametrize("transport", ["xhr_streaming", "sse", "long_polling"])
async def test_another_network_begins_anew_what_is_under_way(transport: str) -> None:
    """The carrier and the POST are on connections that are dead, and nothing tells: no time-out is waited for."""
    never: dict[str, Any] = {"post_timeout": 900.0, "attach_timeout": 900.0}
    async with place(ping_interval=600.0) as (_, proxy, url):
        async with realtime.connect(url, transports=[transport], upgrade=False, **never) as session:
            await eventually(lambda: session.transport == transport and session.state == "open")
            proxy.unplug()
            await session.send("one")
            await eventually(lambda: session._machine.uplink_out is not None)
            proxy.plug()
            session.network_changed()
            assert await arrives(session.receive()) == "one"
            assert session.transport == transport
        assert session.close_code == 1000


async def test_a_machine_that_has_slept_finds_out_whether_its_carrier_lives() -> None:
    async with place(ping_interval=60.0) as (_, _, url):
        clock = VirtualClock()
        async with realtime.connect(url, transports=["websocket"], clock=clock) as session:
            first = session._machine.gen
            for asleep, more in ((5.0, 0), (15.0, 1)):
                await session.send("one")
                assert await arrives(session.receive()) == "one"
                clock._now = session._runtime._timer_at + asleep  # it was to look so long ago
                clock.advance(0.0)
                await eventually(lambda: session._machine.gen == first + more)  # noqa: B023 # it is called here
            await session.send("two")
            assert await arrives(session.receive()) == "two"


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("7", 7.0), ("", 0.0), ("Fri, 31 Dec 1999 23:59:59 GMT", 0.0), ("-1", 0.0), ("9" * 400, 999999999.0)],
)
def test_what_retry_after_says(said: str, seconds: float) -> None:
    assert retry_after({"Retry-After": said} if said else {}) == seconds


@pytest.mark.parametrize("transport", ALL)
async def test_retry_after_is_heeded_by_carriers(transport: str) -> None:
    """Also where the handshake of a WebSocket was answered so."""
    async with (
        place() as (_, proxy, url),
        realtime.connect(url, transports=[transport], upgrade=False, **FAST) as session,
    ):
        await eventually(lambda: session.transport == transport and session.state == "open")
        policy = session._context.policy
        rule = proxy.add(Answer(status=503, headers=(("Retry-After", "20"),), match=on(transport), times=1))
        proxy.cut(rst=True)
        await arrives(rule.wait_fired())
        await eventually(lambda: policy.newest is None and policy.deadline() > session._now() + 15.0)
        session.network_changed()
        await session.send("up")
        assert await arrives(session.receive()) == "up"


# -- the ack of the server's close -----------------------------------------------------------------------------------

UNANSWERED: dict[str, Fault] = {
    "refused": Answer(status=502, match=on("send"), times=3),
    "told to come again": Answer(status=503, match=on("send"), times=3, body=b'["x4503,carrier,,later"]'),
    "cut": DropResponse(match=on("send"), times=3),
    "mute": BlackHole(match=on("send"), times=2),
}


@pytest.mark.parametrize("fault", UNANSWERED.values(), ids=UNANSWERED.keys())
@pytest.mark.parametrize("transport", ["sse", "polling"])
async def test_the_servers_close_is_acknowledged_again(
    transport: str, fault: Answer | DropResponse | BlackHole
) -> None:
    async with place() as (server, proxy, url):
        session = await realtime.connect(
            url, transports=[transport], upgrade=False, post_timeout=0.3, backoff=(0.01, 0.05)
        )
        await eventually(lambda: session.state == "open")
        (there,) = server.sessions
        rule = proxy.add(fault)
        closing = asyncio.ensure_future(there.close(3001, "enough"))
        with pytest.raises(realtime.SessionClosed):
            await arrives(session.receive())
        await arrives(closing)
        await arrives(session.close())
        assert there.close_code == session.close_code == 3001
        assert rule.fired >= 2


# -- servers that mean harm --------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def answering(handle: Callable[[web.Request], Any]) -> AsyncIterator[str]:
    """A server that answers everything by itself, and the URL of its endpoint."""
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", handle)
    async with serve(app) as running:
        yield f"http://127.0.0.1:{running.port}/echo"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("whose", ["ours", "the application's"])
async def test_a_handshake_is_not_redirected(status: int, whose: str) -> None:
    """What a client shows is for the server that it was told of."""
    heard: list[object] = []

    async def elsewhere(request: web.Request) -> web.WebSocketResponse:
        if whose == "ours":
            heard.append(request.headers)
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        heard.extend([message.data async for message in ws])
        return ws

    async with answering(elsewhere) as other, aiohttp.ClientSession() as http:
        asked: list[str] = []

        async def here(request: web.Request) -> web.Response:
            asked.append(request.path)
            return web.Response(status=status, headers={"Location": f"{other}/v1/websocket"})

        async with answering(here) as url:
            with pytest.raises(realtime.NegotiationError) as caught:
                async with realtime.connect(
                    url,
                    transports=["websocket"],
                    headers={"X-Api-Key": "secret"},
                    auth={"token": "secret"},
                    http=http if whose == "the application's" else None,
                    open_timeout=0.5,
                    **FAST,
                ):
                    pass
            assert f"HTTP {status}" in caught.value.attempts["websocket"]
            assert set(asked) == {"/echo/v1/websocket"}
    assert heard == []


async def test_a_held_poll_is_probed_with_the_sessions_key() -> None:
    async with (
        place() as (_, _, url),
        realtime.connect(url, transports=["polling"], upgrade=False, **FAST) as session,
    ):
        await session.send("one")
        assert await session.receive() == "one"
        await eventually(lambda: session._machine.gen > 1)
        carrying, _ = beside(session, "long_polling", "probe")
        assert (await arrives(drive(session._context, carrying))).how == "proven"
