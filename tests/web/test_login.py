"""`SessionRequest.http`: the aiohttp request while somebody may look at it, and what other packages do with it.

The recipes are those of docs/login.md, run as they stand there.
"""

from __future__ import annotations

import asyncio
import gc
import json
import re
import weakref
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

import realtime
from realtime.testing import Clients

from ..patience import within
from .peer import PEERS, HttpPeer
from .place import Place, errors, serving

PAGE = (Path(__file__).parents[2] / "docs" / "login.md").read_text("utf-8")
TRANSPORTS = ("websocket", "sse", "xhr_streaming", "multipart", "long_polling", "polling")
# aiohttp would like other packages, and the recipe, to name what they store by objects, which its older versions lack.
pytestmark = pytest.mark.filterwarnings("ignore:It is recommended to use web.RequestKey")
each_transport = pytest.mark.parametrize("transport", TRANSPORTS)
COOKIES = {"Cookie": "login=secret"}


def recipe(name: str) -> dict[str, Any]:
    """What a recipe of the page defines."""
    found = re.search(rf"<!-- {name} -->\n\n```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    assert found is not None, name
    defined: dict[str, Any] = {"__name__": name}
    exec(compile(found[1], f"docs/login.md: {name}", "exec"), defined)
    return defined


def test_every_recipe_of_the_page_is_run() -> None:
    assert re.findall(r"<!-- (\w+) -->", PAGE) == ["session", "security", "middleware"]
    assert PAGE.count("```python") == 3


@pytest.mark.parametrize("name", ["session", "security", "middleware"])
@each_transport
async def test_a_recipe(name: str, transport: str, caplog: pytest.LogCaptureFixture) -> None:
    app = recipe(name)["make_app"]()
    jar = aiohttp.CookieJar(unsafe=True)  # for an address as well
    async with within(), aiohttp.ClientSession(cookie_jar=jar) as http, Clients() as client:
        server = await client.server(app)
        origin = str(server.make_url("/")).rstrip("/")

        async def open_session(headers: dict[str, str]) -> realtime.ClientSession:
            return await client(
                app, "/realtime/chat", transports=transport, http=http, headers=headers, backoff=(0.01, 0.05)
            )

        with pytest.raises(realtime.NegotiationError, match="log in first"):
            await open_session({"Origin": origin})
        async with http.post(f"{origin}/login") as answer:
            assert answer.status == 200
        session = await open_session({"Origin": origin})
        assert await session.receive() == "hello ada"
        assert session.transport == transport
        # With cookies for the server the client says by itself whose they are.
        assert await (await open_session({})).receive() == "hello ada"
        # Without an Origin any site could have made a browser send the cookie.
        peer = PEERS["polling"](http, f"{origin}/realtime/chat")
        assert isinstance(peer, HttpPeer)
        refused = await peer.post("polling", ["o" + json.dumps(peer.open_object())])
        assert refused.refusal == (401, 4401, "carrier")
        assert "count only beside an Origin" in refused.frames[0]
    assert errors(caplog.records) == []


@each_transport
async def test_the_request_is_there_for_the_hook_and_a_handlers_opening_and_then_gone(transport: str) -> None:
    seen: list[Any] = []
    kept: list[realtime.SessionRequest] = []

    def prepare(place: Place) -> None:
        @place.rt.authorize
        async def who(request: realtime.SessionRequest) -> str:
            kept.append(request)
            await asyncio.sleep(0)  # the hook may take its time
            seen.append((type(request.http), request.http.path == request.path, request.http.app is place.app))
            return "ada"

        @place.rt.endpoint("/look")
        async def look(session: realtime.Session) -> None:
            seen.append((type(session.request.http), True, session.request.http.app is place.app))
            kept.append(session.request)
            await session.send("seen")
            await session.receive()
            with pytest.raises(realtime.LocalProtocolError, match="the HTTP request is not kept"):
                session.request.http  # noqa: B018 # asking raises
            await session.send("gone")
            await session.wait_closed()

    async with within(), serving(prepare=prepare) as place:
        async with realtime.connect(place.url("/look"), transports=transport, upgrade=False) as session:
            assert await session.receive() == "seen"
            await session.send("and now?")
            assert await session.receive() == "gone"
        assert len(seen) >= 2
        assert set(seen) == {(web.Request, True, True)}
        for request in kept:
            with pytest.raises(realtime.LocalProtocolError, match="the HTTP request is not kept"):
                request.http  # noqa: B018 # asking raises


async def test_a_session_keeps_no_request() -> None:
    requests: list[weakref.ref[web.Request]] = []

    def prepare(place: Place) -> None:
        @place.rt.authorize
        async def who(request: realtime.SessionRequest) -> str:
            requests.append(weakref.ref(request.http))
            return "ada"

    async with within(), serving(prepare=prepare) as place:
        peer, session = await place.parked("polling")
        await peer.drop()
        await place.http.close()  # and with it the connections, each of which aiohttp lets keep its last request
        while requests[0]() is not None:
            gc.collect()
            await asyncio.sleep(0)
        assert not session.closed


async def test_fresh_auth_data_are_asked_about_with_the_request() -> None:
    users: list[Any] = []

    def prepare(place: Place) -> None:
        @web.middleware
        async def know_user(request: web.Request, handler: Any) -> web.StreamResponse:
            request["user"] = "ada"
            response: web.StreamResponse = await handler(request)
            return response

        place.app.middlewares.append(know_user)

        @place.rt.authorize
        async def who(request: realtime.SessionRequest) -> str:
            users.append((request.auth, request.http["user"]))
            return "ada"

    async with within(), serving(prepare=prepare) as place:
        for transport in ("websocket", "polling"):
            users.clear()
            async with realtime.connect(place.url("/echo"), transports=transport, auth=1, upgrade=False) as session:
                await session.reauthorize(2)
            assert users[0] == (1, "ada")
            assert (2, "ada") in users


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [(None, ()), ("https://elsewhere.example", "*")],
    ids=["no origin", "any origin"],
)
async def test_cookies_that_do_not_count_are_not_shown_by_it_either(
    origin: str | None, allowed: str, caplog: pytest.LogCaptureFixture
) -> None:
    headers = COOKIES if origin is None else {**COOKIES, "Origin": origin}
    asked: list[dict[str, str]] = []

    def prepare(place: Place) -> None:
        @place.rt.authorize
        async def who(request: realtime.SessionRequest) -> str | None:
            asked.append(dict(request.cookies))
            return request.http.cookies.get("login")  # type: ignore[no-any-return] # an aiohttp request's

    async with within(), serving(prepare=prepare, allowed_origins=allowed) as place:
        peer = place.polls(headers=headers)
        answer = await peer.post("long_polling", ["o" + json.dumps(peer.open_object())])
        assert answer.refusal == (401, 4401, "carrier")
        assert "count only beside an Origin" in answer.frames[0]
        assert asked == [{}]
        # Who brings none is anonymous and welcome.
        bare = {} if origin is None else {"Origin": origin}
        async with realtime.connect(place.url("/echo"), transports="long_polling", headers=bare) as session:
            await session.send("hello")
            assert await session.receive() == "hello"
    assert errors(caplog.records) == []


@pytest.mark.parametrize("path", ["/sock/0/0/xhr", "/engine.io/?EIO=4&transport=polling"])
async def test_clients_of_other_protocols(path: str) -> None:
    seen: list[Any] = []

    def prepare(place: Place) -> None:
        @place.rt.authorize
        async def who(request: realtime.SessionRequest) -> str:
            seen.append(request.http.path)
            return "ada"

        @place.rt.endpoint("/sock", sockjs=True, engineio="/engine.io")
        async def sock(session: realtime.Session) -> None:
            seen.append(session.request.http.path)

    async with within(), serving(prepare=prepare, prefix="") as place:
        method = place.http.post if path.startswith("/sock") else place.http.get
        async with method(place.base + path) as answer:
            assert answer.status == 200
        assert seen == [path.partition("?")[0]] * 2


async def test_a_handler_that_raises_unauthorized_closes_with_its_code(caplog: pytest.LogCaptureFixture) -> None:
    def prepare(place: Place) -> None:
        @place.rt.endpoint("/members")
        async def members(session: realtime.Session) -> None:
            raise realtime.Unauthorized("members only", status=403)

        @place.rt.endpoint("/cookies")
        async def cookies(session: realtime.Session) -> None:
            session.request.http  # noqa: B018 # asking raises

    headers = COOKIES | {"Origin": "https://elsewhere.example"}
    async with within(), serving(prepare=prepare, allowed_origins="*") as place:
        for path, code, reason in (("/members", 4403, "members only"), ("/cookies", 4401, "cookies and browsers' log")):
            session = await realtime.connect(place.url(path), transports="websocket", headers=headers)
            await session.wait_closed()
            assert session.close_code == code
            assert str(session.close_reason).startswith(reason)
    assert errors(caplog.records) == []


def test_a_request_that_no_web_framework_brought() -> None:
    with pytest.raises(realtime.LocalProtocolError, match="did not come by HTTP"):
        realtime.SessionRequest().http  # noqa: B018 # asking raises


def test_it_is_shown_until_all_have_looked() -> None:
    class Http:
        raw_headers = ()

    http = Http()
    request = realtime.SessionRequest(http=http)
    request._show_http()
    request._show_http()
    request._hide_http()
    assert request.http is http
    renewed = request._renewed(b"1")
    with pytest.raises(realtime.LocalProtocolError, match="not kept"):
        renewed.http  # noqa: B018 # asking raises
    renewed._show_http()
    request._hide_http()
    assert renewed.http is http
    with pytest.raises(realtime.LocalProtocolError, match="not kept"):
        request.http  # noqa: B018 # asking raises
