"""Who gets in, on every transport: origins, authorisation, proxies, limits, rates, fresh auth data, withdrawal."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import quote

import aiohttp
import pytest
from aiohttp import WSMsgType
from multidict import CIMultiDict, CIMultiDictProxy

import realtime
from realtime.admission import MOST_WITHDRAWN
from realtime.testing import VirtualClock
from realtime.transports import TRANSPORTS, Frame

from ..patience import arrives, within
from .peer import HttpPeer, WebSocketPeer, batch
from .place import Place, eventually, serving
from .proof import GETS, attach_frame, uplink_frame

pytestmark = pytest.mark.usefixtures("quiet_log")

ALL = tuple(TRANSPORTS)
every = pytest.mark.parametrize("transport", ALL)
TAGS = ("htmlfile", "jsonp")  # of GETS, what any page can have a script or an iframe ask
FRIEND = "https://friend.example"


class Answer(NamedTuple):
    """The first thing a request is told."""

    status: int  # of the HTTP response; 101 for a WebSocket that was accepted
    frame: str  # the first frame
    headers: CIMultiDictProxy[str]
    close_code: int | None = None

    @property
    def refusal(self) -> tuple[int, int, str]:
        """HTTP status, code and scope."""
        code, scope, _, _ = self.frame.removeprefix("x").split(",", 3)
        return self.status, int(code), scope


def status(transport: str, http: int) -> int:
    """The HTTP status that a refusal has on this transport: readable where the reader can't see others."""
    return 101 if transport == "websocket" else 200 if transport in GETS else http


def opening(**changes: Any) -> str:
    """An open."""
    members = {"nonce": secrets.token_urlsafe(18), "gen": 1, "window": [256, 1_048_576], "transports": list(ALL)}
    return "o" + json.dumps(members | changes)


@asynccontextmanager
async def request(
    place: Place, transport: str, frames: list[str], headers: dict[str, str]
) -> AsyncIterator[aiohttp.ClientResponse]:
    """An HTTP request with these frames, at /park."""
    url = f"{place.url('/park')}/v1/{transport}"
    if transport in GETS:
        async with place.http.get(f"{url}?callback=take&frame={quote(frames[0])}", headers=headers) as response:
            yield response
    else:
        async with place.http.post(url, data=batch(*frames), headers=headers) as response:
            yield response


async def first(transport: str, response: aiohttp.ClientResponse) -> str:
    """The first frame of a response."""
    if response.status != 200 or (transport == "jsonp" and "script" not in response.headers["Content-Type"]):
        transport = "long_polling"
    decoder = TRANSPORTS.get(transport, TRANSPORTS["polling"]).decoder(1 << 20, 1 << 20)
    frames: list[Frame] = []
    async for chunk in response.content.iter_any():
        frames = decoder.feed(chunk)
        if frames:
            break
    return str((frames or decoder.end())[0])


async def knock(place: Place, transport: str, *frames: str, **headers: str) -> Answer:
    """Says `frames` at /park, and leaves when it has heard something. A tag names its page, as browsers do."""
    if transport in TAGS and not {"Origin", "Referer", "Sec_Fetch_Site", "Sec-Fetch-Site"} & headers.keys():
        headers["Referer"] = f"{place.base}/page"
    return await say(place, transport, *frames, **headers)


async def say(place: Place, transport: str, *frames: str, **headers: str) -> Answer:
    """The same with just these headers."""
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    async with within():
        if transport != "websocket":
            async with request(place, transport, list(frames), told) as response:
                return Answer(response.status, await first(transport, response), response.headers)
        try:
            ws = await place.http.ws_connect(f"{place.url('/park')}/v1/websocket", headers=told)
        except aiohttp.WSServerHandshakeError as error:
            return Answer(error.status, "", CIMultiDictProxy(CIMultiDict(error.headers or {})))
        for frame in frames:
            await ws.send_str(frame)
        answer = await ws.receive()
        assert answer.type is WSMsgType.TEXT
        if answer.data[0] == "x":
            await ws.receive()
        await ws.close()
        return Answer(101, answer.data, ws._response.headers, ws.close_code)


async def opened(place: Place, transport: str, auth: Any = None, **headers: str) -> realtime.Session:
    """A session that was opened there, and waits for its client."""
    answer = await knock(place, transport, opening(auth=auth) if auth is not None else opening(), **headers)
    assert answer.frame[:1] == "o", answer
    async with within():
        return await place.sessions.get()


async def attach(place: Place, transport: str, session: realtime.Session, *more: str, **headers: str) -> Answer:
    """Names a session. Something waits for it there, so that nothing is held."""
    await session.send("news")
    gen = session._machine.gen + 1
    return await knock(place, transport, attach_frame(session, transport, gen, 0, 0, 1), *more, **headers)


async def uplink(place: Place, session: realtime.Session, *frames: str, **headers: str) -> Answer:
    """Sends a batch."""
    return await knock(place, "send", uplink_frame(session, 0, 0, 1), *frames, **headers)


class Guard:
    """An authorize hook that knows who bears which cookie, Authorization or auth data, and counts."""

    def __init__(self, rt: realtime.Server) -> None:
        self.seen: list[realtime.SessionRequest] = []
        self.banned: set[str] = set()
        self.broken = False
        rt.authorize(self.hook)

    async def hook(self, request: realtime.SessionRequest) -> str | None:
        """The identity is what the client says."""
        self.seen.append(request)
        if self.broken:
            raise RuntimeError("the database is down")
        name = request.cookies.get("who") or request.headers.get("Authorization") or request.auth
        if name in self.banned:
            raise realtime.Unauthorized(f"{name} is out")
        if name == "eve":
            raise realtime.Unauthorized("not you", status=403)
        return name


@asynccontextmanager
async def guarded(**settings: Any) -> AsyncIterator[tuple[Place, Guard]]:
    """A place with a guard, and time that stands still."""
    async with serving(clock=VirtualClock(), **settings) as place:
        yield place, Guard(place.rt)


# -- origins -----------------------------------------------------------------------------------------------------------

# what the request says, what the server allows, and who the application sees behind the cookie "ada"
ORIGINS = [
    ({"Origin": "HERE"}, (), "ada"),
    ({"Origin": "https://evil.example"}, (), ...),
    ({"Origin": "null"}, (), ...),
    ({"Origin": FRIEND}, (FRIEND,), "ada"),
    ({"Origin": "null"}, (FRIEND,), ...),
    ({"Origin": "null"}, ("null",), None),
    ({"Origin": "https://evil.example"}, ("*",), None),
    ({"Origin": FRIEND}, ("*", FRIEND), "ada"),
    ({"Sec-Fetch-Site": "same-origin"}, (), "ada"),
    ({"Sec-Fetch-Site": "none"}, (), "ada"),
    ({"Sec-Fetch-Site": "cross-site"}, (FRIEND,), ...),
    ({"Sec-Fetch-Site": "same-site"}, (), ...),
    ({"Sec-Fetch-Site": "cross-site"}, ("*",), None),
    ({"Referer": "HERE/page"}, (), "ada"),
    ({"Referer": "https://evil.example/page"}, (), ...),
    ({"Referer": FRIEND + "/page"}, (FRIEND,), "ada"),
    ({}, (), None),
    ({}, ("*",), None),
]


@every
@pytest.mark.parametrize(("headers", "allowed", "who"), ORIGINS)
async def test_origins(transport: str, headers: dict[str, str], allowed: tuple[str, ...], who: Any) -> None:
    async with guarded(allowed_origins=allowed) as (place, guard):
        headers = {name: value.replace("HERE", place.base) for name, value in headers.items()}
        answer = await say(place, transport, opening(), Cookie="who=ada", **headers)
        if not headers and transport in TAGS and "*" not in allowed:
            who = ...  # any page can read what these are answered: this one has to show itself
        if who is not ...:
            assert answer.frame[:1] == "o"
            session = await place.sessions.get()
            assert session.identity == who
            assert ("Cookie" in session.request.headers) is (who is not None)
            assert guard.seen[0].host == place.base.removeprefix("http://")
            if transport != "websocket" and "Origin" in headers:
                assert answer.headers["Access-Control-Allow-Origin"] == headers["Origin"]
                assert answer.headers["Access-Control-Allow-Credentials"] == "true"
            return
        assert answer.status == 403  # on every transport, and before any upgrade
        assert "Access-Control-Allow-Origin" not in answer.headers
        if transport != "websocket":
            assert answer.refusal == (403, 4403, "carrier")
            assert "allowed_origins" in answer.frame
        assert guard.seen == []
        assert len(place.rt) == 0


async def test_a_forbidden_origin_is_told_the_setting_on_a_websocket_too() -> None:
    async with serving() as place:
        url = f"{place.url('/park')}/v1/websocket"
        upgrade = {
            "Origin": "https://evil.example",
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        }
        async with place.http.get(url, headers=upgrade) as response:
            assert response.status == 403
            assert "allowed_origins" in await response.text()


async def test_a_session_is_named_from_allowed_origins_only() -> None:
    async with guarded() as (place, _):
        session = await opened(place, "polling")
        for transport in (*ALL, "send"):
            head = uplink_frame(session, 0, 0, 1)
            if transport != "send":
                head = attach_frame(session, transport, 7, 0, 0, 1)
            answer = await knock(place, transport, head, Origin="https://evil.example")
            assert answer.status == 403
        assert not session._machine.used


@pytest.mark.parametrize("transport", [*ALL, "send"])
async def test_preflights(transport: str) -> None:
    async with serving(allowed_origins=(FRIEND,)) as place:
        url = f"{place.url('/park')}/v1/{transport}"
        asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        for origin in (FRIEND, place.base):
            async with place.http.options(url, headers={"Origin": origin, **asked}) as response:
                assert response.status == 204
                assert response.headers["Access-Control-Allow-Origin"] == origin
                assert response.headers["Access-Control-Allow-Credentials"] == "true"
                assert response.headers["Access-Control-Allow-Headers"] == "authorization"
                assert response.headers["Access-Control-Allow-Methods"] == "OPTIONS, GET, POST"
                assert response.headers["Vary"] == "Origin"
        for origin in ("https://evil.example", "null"):
            async with place.http.options(url, headers={"Origin": origin, **asked}) as response:
                assert response.status == 403
                assert not [name for name in response.headers if name.startswith("Access-Control")]
                assert "allowed_origins" in await response.text()


@pytest.mark.parametrize("transport", GETS)
async def test_every_other_refusal_can_be_read_by_an_event_source(transport: str) -> None:
    async with serving(transports=("websocket", "polling")) as place:
        answer = await knock(place, transport, opening())
        assert answer.refusal == (200, 4406, "carrier")
        url = f"{place.url('/nowhere')}/v1/{transport}?callback=take"
        async with place.http.get(url, headers={"Referer": place.base}) as response:
            assert response.status == 200
            assert (await first(transport, response)).startswith("x4406,carrier,")
        async with place.http.post(url) as response:
            assert response.status == 404


def test_wrong_origins_and_proxies_raise_in_setup() -> None:
    for settings in ({"allowed_origins": "https://friend.example/"}, {"trusted_proxies": "localhost"}):
        with pytest.raises(realtime.LocalProtocolError, match=next(iter(settings))):
            realtime.setup(aiohttp.web.Application(), realtime.Server(**settings))  # type: ignore[arg-type] # strings


# -- authorisation -----------------------------------------------------------------------------------------------------


@every
@pytest.mark.parametrize(("name", "http", "code"), [("mallory", 401, 4401), ("eve", 403, 4403)])
async def test_who_is_refused(transport: str, name: str, http: int, code: int) -> None:
    async with guarded() as (place, guard):
        guard.banned.add("mallory")
        answer = await knock(place, transport, opening(), Authorization=name)
        assert answer.refusal == (status(transport, http), code, "carrier")
        assert answer.frame.endswith("mallory is out" if name == "mallory" else "not you")
        assert answer.close_code == (code if transport == "websocket" else None)
        assert len(place.rt) == 0


@every
async def test_a_hook_that_fails_lets_nobody_in(transport: str, caplog: pytest.LogCaptureFixture) -> None:
    async with guarded() as (place, guard):
        guard.broken = True
        answer = await knock(place, transport, opening())
        assert answer.refusal == (status(transport, 503), 4503, "carrier")
        assert "database" not in answer.frame
        assert len(place.rt) == 0
    caplog.clear()


@every
async def test_another_identity_may_not_name_the_session(transport: str) -> None:
    async with guarded() as (place, guard):
        guard.banned.add("mallory")
        session = await opened(place, transport, Authorization="ada")
        for name, http, code in (("bob", 403, 4403), ("eve", 403, 4403), ("mallory", 401, 4401)):
            answer = await attach(place, transport, session, Authorization=name)
            assert answer.refusal == (status(transport, http), code, "carrier")
            answer = await uplink(place, session, "c1000,", Authorization=name)
            assert answer.refusal == (http, code, "carrier")
        assert (await attach(place, transport, session)).refusal == (status(transport, 403), 4403, "carrier")
        assert session._machine.inbox.received == 0
        assert (await attach(place, transport, session, Authorization="ada")).frame[:1] == "r"


@every
async def test_who_was_authorised_lately_is_not_asked_about(transport: str) -> None:
    async with guarded(open_timeout=1000, resume_window=1000) as (place, guard):
        known = {"Cookie": "who=ada", "Origin": place.base, "Authorization": "Basic"}
        session = await opened(place, transport, **known)
        assert len(guard.seen) == 1
        place.tick(59.9)
        assert (await attach(place, transport, session, **known)).frame[:1] == "r"
        assert (await uplink(place, session, "mhello", **known)).frame == "a1,0"
        assert len(guard.seen) == 1
        other = known | {"Cookie": "who=ada; theme=dark"}
        assert (await uplink(place, session, **other)).frame == "a1,0"
        assert (await uplink(place, session, **other)).frame == "a1,0"
        assert len(guard.seen) == 2  # other bytes, then the same as last time
        assert (await uplink(place, session, **(other | {"Authorization": "Other"}))).frame == "a1,0"
        assert len(guard.seen) == 3
        place.tick(60)
        assert (await attach(place, transport, session, **(other | {"Authorization": "Other"}))).frame[:1] == "r"
        assert len(guard.seen) == 4
        assert [request.transport for request in guard.seen] == [transport, "send", "send", transport]


async def test_without_a_time_to_live_every_request_is_asked_about() -> None:
    async with guarded(authorize_ttl=0) as (place, guard):
        session = await opened(place, "polling", Authorization="ada")
        for _ in range(3):
            await uplink(place, session, Authorization="ada")
        assert len(guard.seen) == 4


async def test_who_shows_nothing_is_always_asked_about() -> None:
    async with guarded() as (place, guard):
        session = await opened(place, "polling", auth="ada")
        await uplink(place, session)
        await uplink(place, session, Cookie="who=bob")  # anonymous: without its cookies
        assert [request.auth for request in guard.seen] == ["ada"] * 3
        guard.banned.add("ada")
        assert (await uplink(place, session)).refusal == (401, 4401, "carrier")


# -- proxies -----------------------------------------------------------------------------------------------------------

PROXIED = {"X-Forwarded-For": "6.6.6.6, 1.2.3.4", "X-Forwarded-Host": "chat.example", "X-Forwarded-Proto": "https"}


@every
async def test_a_trusted_proxy_says_who_it_is(transport: str) -> None:
    async with serving(trusted_proxies=("127.0.0.1",)) as place:
        request = (await opened(place, transport, Origin="https://chat.example", **PROXIED)).request
        assert (request.remote, request.host, request.scheme) == ("1.2.3.4", "chat.example", "https")
        answer = await knock(place, transport, opening(), Origin=place.base, **PROXIED)
        assert answer.status == 403


@every
async def test_nobody_else_does(transport: str) -> None:
    async with serving(trusted_proxies="10.0.0.0/8") as place:
        request = (await opened(place, transport, **PROXIED)).request
        assert (request.remote, request.host, request.scheme) == ("127.0.0.1", f"127.0.0.1:{place.port}", "http")
        answer = await knock(place, transport, opening(), Origin="https://chat.example", **PROXIED)
        assert answer.status == 403


# -- limits ------------------------------------------------------------------------------------------------------------


@every
async def test_sessions_per_address(transport: str) -> None:
    async with serving(max_sessions_per_address=1, trusted_proxies="127.0.0.1") as place:
        session = await opened(place, transport, X_Forwarded_For="1.2.3.4")
        answer = await knock(place, transport, opening(), X_Forwarded_For="6.6.6.6, 1.2.3.4")
        assert answer.refusal == (status(transport, 429), 4429, "carrier")
        assert "max_sessions_per_address" in answer.frame
        if answer.status == 429:
            assert answer.headers["Retry-After"] == "10"
        other = await opened(place, transport, X_Forwarded_For="1.2.3.5")
        session._machine.end(1000, "", place.rt._service.clock.now())
        again = await opened(place, transport, X_Forwarded_For="1.2.3.4")
        assert place.rt._service.sessions.registry._addresses == {"1.2.3.4": 1, "1.2.3.5": 1}
        for one in (other, again):
            one._machine.end(1000, "", place.rt._service.clock.now())
        assert place.rt._service.sessions.registry._addresses == {}


async def test_a_proxy_that_is_not_believed_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    """All of its clients count as one address."""
    for trusted, count in (("10.0.0.0/8", 1), ("127.0.0.1", 0)):
        async with serving(max_sessions_per_address=9, trusted_proxies=trusted) as place:
            for number in range(2):
                await opened(place, "polling", X_Forwarded_For=f"1.2.3.{number}")
        said = [record.getMessage() for record in caplog.records if "X-Forwarded-For" in record.getMessage()]
        assert len(said) == count
        assert all("trusted_proxies=['127.0.0.1']" in one for one in said)
        caplog.clear()


@every
async def test_opens_per_second_per_address(transport: str) -> None:
    async with guarded(opens_per_second_per_address=0.2, trusted_proxies="127.0.0.1") as (place, guard):
        for _ in range(2):
            await opened(place, transport)
        answer = await knock(place, transport, opening())
        assert answer.refusal == (status(transport, 429), 4429, "carrier")
        assert "opens_per_second_per_address" in answer.frame
        if answer.status == 429:
            assert answer.headers["Retry-After"] == "5"
        assert len(guard.seen) == 2  # nobody was asked
        await opened(place, transport, X_Forwarded_For="1.2.3.4")
        place.tick(5)
        session = await opened(place, transport)
        assert (await uplink(place, session, "mhello")).frame == "a1,0"  # what names a session is no open


# -- rates -------------------------------------------------------------------------------------------------------------

RATE: dict[str, Any] = {"max_message_rate": 2, "rate_burst": 1, "max_queue": 16}


async def test_a_fast_client_waits_for_its_window_on_a_websocket() -> None:
    async with serving(clock=VirtualClock(), **RATE) as place:
        peer, session = await place.parked("websocket")
        assert isinstance(peer, WebSocketPeer)
        await peer.send(*[f"m{number}" for number in range(16)])
        assert [await session.receive() for _ in range(16)] == [str(number) for number in range(16)]
        assert session._machine.inbox.ack() == (16, 2)  # the application has them all, two count
        await peer.send("phow far?")
        acks = []
        while (frame := await arrives(peer.read())) != "qhow far?":  # pings are answered all the same
            acks.append(frame)
        assert acks[-1] == "a16,2"
        place.tick(1.5)  # three more, the first of them a second ago
        assert await arrives(peer.read()) == "a16,5"
        place.tick(1.5)
        assert await arrives(peer.read()) == "a16,8"
        place.tick(10.0)
        await arrives(session.flush())
        assert session._machine.inbox.ack() == (16, 16)
        await peer.send("mmore", "c1000,")
        assert await session.receive() == "more"
        assert await peer.end() == (1000, "x")


async def test_a_fast_client_waits_for_its_window_over_polls() -> None:
    async with serving(clock=VirtualClock(), **RATE) as place:
        peer, session = await place.parked("long_polling")
        assert isinstance(peer, HttpPeer)
        await peer.send(*[f"m{number}" for number in range(16)])
        for _ in range(16):
            await session.receive()
        await session.send("hello")
        assert (await peer.poll()).frames[0] == "r16,2"
        poll = asyncio.create_task(peer.poll())
        await eventually(lambda: session._machine.carrier is not None)
        place.tick(2.0)
        assert (await poll).frames == ["r16,6"]
        place.tick(0.5)
        assert (await peer.send()).frames == ["a16,7"]


async def test_who_ignores_the_window_is_out() -> None:
    async with serving(clock=VirtualClock(), **RATE) as place:
        peer, session = await place.parked("websocket")
        await peer.send(*[f"m{number}" for number in range(16)])
        for _ in range(16):
            await session.receive()
        await peer.send("m", "m", "m")
        assert await peer.end() == (1002, "x")


@pytest.mark.parametrize("transport", ["websocket", "long_polling", "polling"])
async def test_a_fast_client_may_be_closed(transport: str) -> None:
    async with serving(clock=VirtualClock(), **RATE, on_rate="close") as place:
        peer, session = await place.parked(transport)
        answer = await peer.send("m1", "m2", "m3")
        if transport == "websocket":
            assert await peer.end() == (1008, "x")
        else:
            assert answer.refusal == (410, 1008, "session")
        assert session.close_code == 1008
        assert "max_message_rate" in str(session.close_reason)
        slow, session = await place.parked(transport)
        for number in range(6):
            await slow.send(f"m{number}")
            assert await session.receive() == str(number)
            place.tick(0.5)


async def test_bytes_have_a_rate_too() -> None:
    async with serving(clock=VirtualClock(), max_byte_rate=1000, rate_burst=1) as place:
        peer, session = await place.parked("polling")
        await peer.send("m" + "x" * 1000, "m" + "x" * 2000, "m")
        for _ in range(3):
            await session.receive()
        assert session._machine.inbox.ack() == (3, 1)
        place.tick(1.99)
        assert (await peer.send()).frames == ["a3,1"]
        place.tick(0.01)
        assert (await peer.send()).frames == ["a3,3"]


# -- fresh auth data ---------------------------------------------------------------------------------------------------


async def told(ws: aiohttp.ClientWebSocketResponse, letter: str) -> str:
    """The next frame of this kind."""
    async with within():
        while True:
            message = await ws.receive()
            assert message.type is WSMsgType.TEXT, message
            if message.data[:1] == letter:
                return str(message.data)


async def test_fresh_auth_data_on_a_websocket() -> None:
    async with guarded() as (place, guard):
        peer, session = await place.parked("websocket", headers={"Authorization": "ada"}, auth={"token": 1})
        assert isinstance(peer, WebSocketPeer)
        await peer.send('t{"token": 2}', "mbehind")
        assert await told(peer.ws, "t") == "t"
        assert await session.receive() == "behind"
        assert (session.request.auth, session.identity, session._machine.inbox.received) == ({"token": 2}, "ada", 1)
        assert guard.seen[-1].auth == {"token": 2}


async def test_refused_auth_data_end_the_session() -> None:
    async with guarded() as (place, guard):
        guard.banned.add("mallory")
        for auth, code in (("mallory", 4401), ("eve", 4403), ("bob", 4403)):
            peer, session = await place.parked("websocket", auth="ada")
            assert isinstance(peer, WebSocketPeer)
            await peer.send(f't"{auth}"', "mbehind")
            assert (await told(peer.ws, "x")).startswith(f"x{code},session,0,")
            assert await peer.closed() == code
            assert (session.close_code, session.request.auth) == (code, "ada")
            polls, session = await place.parked("polling", auth="ada")
            answer = await polls.send(f't"{auth}"', "mbehind")
            assert answer.refusal == (410, code, "session")
            assert (session.close_code, session._machine.inbox.received) == (code, 0)


@every
async def test_fresh_auth_data_over_http(transport: str) -> None:
    async with guarded() as (place, guard):
        session = await opened(place, "polling" if transport in GETS else transport, auth="ada")
        send = HttpPeer(place.http, place.url("/park"))
        send.sid, send.key = session.id, session._machine.key
        assert (await send.send('t"ada"', "mone")).frames == ["a1,0", "t"]
        if transport not in ("websocket", *GETS):
            async with within():
                assert (await attach(place, transport, session, 't"ada"')).frame == "r1,0"
            assert len(guard.seen) == 5  # the open, and two requests with fresh data each


@pytest.mark.parametrize("transport", ["websocket", *GETS])
async def test_auth_data_do_not_stand_in_a_url(transport: str) -> None:
    async with guarded() as (place, guard):
        if transport == "websocket":
            url = f"{place.url('/park')}/v1/websocket?open={quote(opening(auth='ada')[1:])}"
            async with place.http.ws_connect(url) as ws:
                told = (await ws.receive()).data
                assert (await ws.receive()).data == 4400
        else:
            told = (await knock(place, transport, opening(auth="ada"))).frame
        assert told.startswith("x4400,carrier,,auth data do not belong in a URL")
        assert not guard.seen
        assert len(place.rt) == 0
        if transport != "websocket":
            await opened(place, transport, Authorization="ada")


async def test_fresh_auth_data_do_not_stand_in_a_url() -> None:
    async with guarded() as (place, _):
        session = await opened(place, "polling", auth="ada")
        said = quote(json.dumps([uplink_frame(session, 0, 0, 1, by="GET"), "mone", 't"ada"']))
        url = f"{place.url('/park')}/v1/send?callback=take&batch={said}"
        async with place.http.get(url, headers={"Referer": place.base}) as response:
            assert "x4400,carrier,,auth data do not belong" in await response.text()
        assert (session.closed, session._machine.inbox.received) == (False, 0)


@pytest.mark.parametrize("transport", ["htmlfile", "jsonp"])
async def test_the_tags_of_a_page(transport: str) -> None:
    """A script or an iframe has no Origin to show."""
    async with serving(allowed_origins=(FRIEND,)) as place:
        for site in ({}, {"Sec_Fetch_Site": "cross-site"}):
            assert (await knock(place, transport, opening(), Referer=f"{FRIEND}/page", **site)).frame[0] == "o"
            refused = await knock(place, transport, opening(), Referer="https://evil.example/page", **site)
            assert (refused.status, refused.frame[:12]) == (403, "x4403,carrie")
        hidden = await knock(place, transport, opening(), Sec_Fetch_Site="cross-site")
        assert hidden.status == 403


async def test_a_page_may_open_again_by_a_request_without_an_origin(place: Place) -> None:
    frame = opening()
    await knock(place, "polling", frame, Origin=place.base)
    for transport, headers in (
        ("jsonp", {"Referer": f"{place.base}/page"}),
        ("sse", {"Sec_Fetch_Site": "same-origin"}),
    ):
        assert (await knock(place, transport, frame, **headers)).frame[0] == "o"
    assert (await knock(place, "polling", frame)).refusal == (409, 4409, "carrier")
    assert len(place.rt) == 1


async def test_fresh_auth_data_let_in_whose_old_ones_have_expired() -> None:
    async with guarded() as (place, guard):

        async def tokens(request: realtime.SessionRequest) -> str:
            guard.seen.append(request)
            if request.auth not in valid:
                raise realtime.Unauthorized("expired")
            return valid[request.auth]

        valid = {"old": "ada"}
        place.rt.authorize(tokens)
        session = await opened(place, "polling", auth="old")
        valid = {"new": "ada", "other": "bob"}
        assert (await uplink(place, session, "mone")).refusal == (401, 4401, "carrier")
        # Anybody who knows the sid could try these: nothing happens.
        assert (await uplink(place, session, 't"wrong"', "mone")).refusal == (401, 4401, "carrier")
        assert (await uplink(place, session, 't"other"', "mone")).refusal == (403, 4403, "carrier")
        assert (await uplink(place, session, "mone", 't"new"')).refusal == (401, 4401, "carrier")
        assert (session.request.auth, session.closed, session._machine.inbox.received) == ("old", False, 0)
        assert (await uplink(place, session, 't"new"', "mone")).frame == "a1,0"
        assert session.request.auth == "new"
        assert (await attach(place, "polling", session)).frame == "r1,0"
        assert (await attach(place, "sse", session)).frame == "r1,0"


async def test_without_a_hook_fresh_auth_data_are_taken() -> None:
    async with serving() as place:
        peer, session = await place.parked("polling", auth=1)
        assert (await peer.send("t2")).frames == ["a0,0", "t"]
        assert session.request.auth == 2


async def test_auth_data_that_are_no_json_end_the_session() -> None:
    async with serving() as place:
        for transport in ("websocket", "polling"):
            peer, session = await place.parked(transport)
            await peer.send("m", "t{")
            await arrives(session.wait_closed())
            assert session.close_code == 1002


@pytest.mark.parametrize("where", ["send", "long_polling", "polling", "xhr_streaming", "form", "behind a message"])
async def test_auth_data_that_are_no_json_end_the_session_directly_behind_a_head_too(where: str) -> None:
    async with serving() as place:
        peer, session = await place.parked("polling")
        assert isinstance(peer, HttpPeer)
        uplink, attach = peer.uplink_frame(), peer.attach_frame()
        if where == "form":
            fields = {"callback": "take", "batch": json.dumps([uplink, "t{bad"])}
            page = {"Referer": place.base}
            async with place.http.post(place.url("/park/v1/send"), data=fields, headers=page) as response:
                assert "x1002,session,0,fresh auth data are" in await response.text()
        else:
            posted = where if where in TRANSPORTS else "send"
            frames = [attach if posted != "send" else uplink, *(["m"] if "message" in where else []), "t{bad"]
            answer = await peer.post(posted, frames)
            assert answer.status == 400
            assert answer.frames[-1].startswith(f"x1002,session,{len(frames) - 2},fresh auth data are")
        assert session.close_code == 1002


async def test_a_hook_that_fails_on_fresh_auth_data_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with guarded() as (place, guard):
        known = {"Authorization": "ada"}
        peer, session = await place.parked("websocket", headers=known)
        assert isinstance(peer, WebSocketPeer)
        polls, other = await place.parked("polling", headers=known)
        assert isinstance(polls, HttpPeer)
        guard.broken = True
        await peer.send("t2")
        assert (await told(peer.ws, "x")).startswith("x4503,carrier,")
        assert await peer.closed() == 4503
        assert (await polls.send("t2")).refusal == (503, 4503, "carrier")
        assert (await polls.poll("t2")).refusal == (503, 4503, "carrier")
        answer = await attach(place, "xhr_streaming", other, "t2", **known)
        assert answer.refusal == (503, 4503, "carrier")
        assert [session.state, other.state] == [realtime.State.DETACHED] * 2
        assert [session.request.auth, other.request.auth] == [None, None]
    caplog.clear()


# -- withdrawal --------------------------------------------------------------------------------------------------------


async def test_a_withdrawn_identity_ends_everywhere() -> None:
    async with guarded() as (place, _):
        peers = [
            (await place.parked(name, headers={"Authorization": "ada"}))[0]
            for name in ("websocket", "long_polling", "polling")
        ]
        streams = [await opened(place, name, Authorization="ada") for name in ("sse", "xhr_streaming", "multipart")]
        bob, session = await place.parked("websocket", headers={"Authorization": "bob"})
        assert await place.rt.close_identity("ada") == 6
        for peer in peers:
            assert await peer.end() == (4401, "x")
        for stream in streams:
            assert (stream.close_code, stream.close_reason) == (4401, "the identity was withdrawn")
        assert list(place.rt.sessions) == [session]
        assert await place.rt.close_identity("ada") == 0
        assert await place.rt.close_identity("bob", 4002, "bye") == 1
        assert await bob.end() == (4002, "x")
        assert session.close_reason == "bye"


@every
async def test_who_is_being_asked_about_meanwhile_is_withdrawn_too(transport: str) -> None:
    """The hook's answer may be older than the withdrawal."""
    async with serving() as place:
        asked: list[str] = []
        answer = asyncio.Event()

        @place.rt.authorize
        async def slow(request: realtime.SessionRequest) -> str:
            asked.append(request.headers["X-Name"])
            await answer.wait()
            return request.headers["X-Name"]

        opens = [asyncio.create_task(knock(place, transport, opening(), X_Name=name)) for name in ("ada", "bob")]
        await eventually(lambda: len(asked) == 2)
        assert await place.rt.close_identity("ada", reason="out") == 0
        answer.set()
        async with within():
            ada, bob = await asyncio.gather(*opens)
        assert ada.refusal == (status(transport, 401), 4401, "carrier")
        assert ada.frame == "x4401,carrier,,out"
        assert bob.frame[:1] == "o"
        assert [session.identity for session in place.rt.sessions] == ["bob"]
        assert (await knock(place, transport, opening(), X_Name="ada")).frame[:1] == "o"  # the hook lets her in again


@pytest.mark.parametrize("kind", ["raw", "sockjs", "engineio"])
async def test_who_is_being_asked_about_meanwhile_is_withdrawn_in_every_protocol(kind: str) -> None:
    asked, answer = asyncio.Event(), asyncio.Event()

    def prepare(place: Place) -> None:
        @place.rt.endpoint("/all", sockjs=True, engineio="/engine.io")
        async def everybody(session: realtime.Session) -> None:
            await session.wait_closed()

        @place.rt.authorize
        async def slow(request: realtime.SessionRequest) -> str:
            asked.set()
            await answer.wait()
            return "ada"

    async with serving(prepare=prepare) as place, within():

        async def knock() -> str:
            if kind == "raw":
                async with place.http.ws_connect(place.url("/all")) as ws:
                    return str((await ws.receive()).data)
            engine = f"{place.base}/engine.io/?EIO=4&transport=polling"
            method, url = ("GET", engine) if kind == "engineio" else ("POST", place.url("/all/0/a/xhr"))
            async with place.http.request(method, url) as response:
                return await response.text()

        opened = asyncio.create_task(knock())
        await asked.wait()
        await place.rt.close_identity("ada", reason="out")
        answer.set()
        told = await opened
        assert told == "4401" if kind == "raw" else "out" in told
        assert len(place.rt) == 0


async def test_a_handler_notices_the_withdrawal() -> None:
    async with guarded() as (place, _):
        _, session = await place.parked("polling", auth="ada")
        await place.rt.close_identity("ada")
        with pytest.raises(realtime.SessionClosed) as caught:
            await session.receive()
        assert caught.value.code == 4401


async def test_nobody_in_particular_cannot_be_withdrawn() -> None:
    async with guarded() as (place, _):
        session = await opened(place, "polling")
        with pytest.raises(TypeError, match="identity"):
            await place.rt.close_identity(None)  # type: ignore[arg-type] # that is what is tested
        with pytest.raises(realtime.LocalProtocolError, match="1006"):
            await place.rt.close_identity("ada", 1006)
        assert not session.closed


async def test_withdrawals_are_remembered_for_requests_on_their_way_and_not_without_a_bound(place: Place) -> None:
    before = len(place.rt._service.admission._withdrawn)
    for number in range(MOST_WITHDRAWN + 1):
        await place.rt.close_identity(f"user {number}", reason="out")
    assert len(place.rt._service.admission._withdrawn) == MOST_WITHDRAWN + before
    came_before, came_behind = realtime.SessionRequest(), realtime.SessionRequest()
    came_behind._withdrawals = place.rt._service.admission._withdrawals
    for name, code in (("user 0", 4503), ("user 1", 4401), ("another", 4503)):
        with pytest.raises(realtime.Refusal) as caught:
            place.rt._service.admission.check_withdrawn(name, came_before)
        assert caught.value.code == code
        place.rt._service.admission.check_withdrawn(name, came_behind)
    place.rt._service.admission.check_withdrawn(None, came_before)
