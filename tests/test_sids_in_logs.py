"""No log has a sid, at any level, of either end, on any transport; nor has the repr of anything that holds one."""

from __future__ import annotations

import logging
from typing import Any

import aiohttp
import pytest
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

import realtime
from realtime.client.wire import own_transports, words
from realtime.core.client_machine import Attach, Uplink
from realtime.core.frames import Window
from realtime.core.proof import Key
from realtime.protocols.native import Open, Opened, RequestHead
from realtime.testing import FaultProxy
from realtime.transports import TRANSPORTS

from .patience import eventually, within
from .web.place import Place, serving

OURS = list(own_transports())


def told(caplog: pytest.LogCaptureFixture) -> str:
    """All that was logged, tracebacks and arguments included."""
    formatter = logging.Formatter("%(name)s %(levelname)s %(message)s")
    return "\n".join(f"{formatter.format(record)} {record.args!r}" for record in caplog.get_records("call"))


def assert_hidden(caplog: pytest.LogCaptureFixture, *sids: str) -> None:
    """None of these secrets is in the log, nor a good part of one."""
    text = told(caplog)
    assert text
    assert sids
    for sid in sids:
        assert len(sid) >= 20
        for part in (sid, sid[-12:], sid[8:-4]):
            assert part not in text


@pytest.fixture(autouse=True)
def everything(caplog: pytest.LogCaptureFixture) -> None:
    """Every logger writes everything."""
    caplog.set_level(logging.DEBUG)
    for name in ("realtime.session", "realtime.server", "realtime.negotiation", "aiohttp", "asyncio"):
        caplog.set_level(logging.DEBUG, name)


@pytest.mark.parametrize("transport", list(TRANSPORTS))
async def test_at_the_server(transport: str, caplog: pytest.LogCaptureFixture) -> None:
    """An open, messages, a lost carrier, another, a handler and a callback that raise, and the end."""
    async with serving() as place:
        peer, session = await place.parked(transport, auth="secret auth data" if transport == "websocket" else None)

        @session.on_change
        def faulty(event: str) -> None:
            raise RuntimeError("in a callback")

        await peer.send("mone")
        assert await session.receive() == "one"
        await peer.resume()
        await session.send("two")
        assert await peer.news() == "mtwo"
        await peer.send("c1000,")
        await eventually(lambda: session.closed)
        assert_hidden(caplog, session.id, peer.nonce)
        text = told(caplog)
        assert f"session {session.label} opened at /park" in text
        assert f"session {session.label} at /park: " in text  # the negotiation
        assert f"an on_change callback of session {session.label} raised" in text
        assert f"session {session.label} ended with 1000" in text
        assert "secret auth data" not in text


async def test_a_handler_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    sids: list[str] = []

    def prepare(place: Place) -> None:
        @place.rt.endpoint("/fails")
        async def fails(session: realtime.Session) -> None:
            sids.append(session.id)
            raise RuntimeError("a fault")

    async with serving(prepare=prepare) as place:
        peer = place.peer("websocket", "/fails")
        await peer.open()
        assert (await peer.end())[0] == 1011
    assert "handler of session" in told(caplog)
    assert_hidden(caplog, *sids)


async def test_sockjs_engineio_and_bare_websockets(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[realtime.Session] = []

    def prepare(place: Place) -> None:
        @place.rt.endpoint("/all", sockjs=True, engineio="/engine.io")
        async def everybody(session: realtime.Session) -> None:
            seen.append(session)
            await session.close(3000, "bye")

    async with serving(prepare=prepare) as place:
        url = place.url("/all")
        paths = (f"{url}/0/a-name-of-a-client-1/xhr", f"{place.base}/engine.io/?EIO=4&transport=polling")
        for method, path in (("POST", paths[0]), ("GET", paths[1])):
            async with within(), place.http.request(method, path) as answer:
                await answer.read()
        async with within(), place.http.ws_connect(url) as ws:
            await ws.receive()
        await eventually(lambda: len(seen) == 3)
        sids = [session.id for session in seen]
        await place.stop()
    assert_hidden(caplog, *sids, "a-name-of-a-client-1")


@pytest.mark.parametrize("transport", OURS)
async def test_at_the_python_client(transport: str, caplog: pytest.LogCaptureFixture) -> None:
    """Carriers that are cut, refused and answered with nonsense, and tasks that fail."""
    async with (
        serving() as place,
        FaultProxy("127.0.0.1", place.port) as proxy,
        realtime.connect(f"{proxy.url}/realtime/echo", transports=[transport], backoff=(0.01, 0.02)) as session,
    ):
        for number in range(3):
            await session.send(f"{number}")
            async with within():
                assert await session.receive() == f"{number}"
            proxy.cut()
        sid, label = session.id, session.label
        (there,) = place.rt.sessions
        assert (there.id, there.label) == (sid, label)  # the same name at both ends
        assert repr(session) == f"<ClientSession {label} {session.state} over {transport}>"
    assert f"session {label}" in told(caplog)
    assert_hidden(caplog, sid)


def test_an_answer_that_is_no_http_is_told_without_its_url() -> None:
    """aiohttp's own words have the URL; that of a GET stream has the sid, and its failure is logged, and told."""
    url = URL("http://h/realtime/echo/v1/sse?frame=rsecret")
    asked = aiohttp.RequestInfo(url, "GET", CIMultiDictProxy(CIMultiDict()), url)
    error = aiohttp.ClientResponseError(asked, (), status=400, message="Bad status line")
    assert "secret" in str(error)
    assert words(error) == "the answer is no HTTP: Bad status line"


def test_what_holds_a_sid_does_not_show_it() -> None:
    sid, nonce, key = "w1.PErPcPmT19pwiaOtYhgkXB", "nonce-nonce-nonce-nonce-22", Key("the-key-of-the-session")
    opened = Opened(sid, key, (0, 0), Window(1, 2), 1, (1, 1), None, None, 1.0, (0.1, 1.0), ())
    holders: list[Any] = [
        Attach(sid, 1, 2, 3, 4, key),
        Uplink(sid, 1, 2, 3, [], None, key),
        RequestHead(sid, 1, 2, 3, 4, key),
        Open(nonce, 1, Window(1, 2), ("sse",), b'{"token":"a secret"}'),
        opened,
    ]
    for holder in holders:
        for secret in (sid, "PErP", nonce, "a secret", str.__str__(key)):
            assert secret not in repr(holder)
        assert repr(holder).startswith(f"<{type(holder).__name__} ")
    assert repr(holders[0]) == "<Attach gen=1 received=2 taken=3 first=4 tenure=''>"
