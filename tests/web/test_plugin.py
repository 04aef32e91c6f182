"""setup() and get_server(): prefixes, sub-applications, middlewares, and several of everything."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import aiohttp_cors
import pytest
from aiohttp import web

import realtime
from realtime.core.errors import LocalProtocolError

from ..patience import within
from .peer import PEERS, Peer
from .place import Place, serving
from .raw import open_frame

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def echo(session: realtime.Session) -> None:
    async for message in session:
        await session.send(message)


def server(*paths: str, **settings: Any) -> realtime.Server:
    rt = realtime.Server(shutdown_timeout=0.3, **settings)
    for path in paths or ("/echo",):
        rt.endpoint(path)(echo)
    return rt


class Running:
    """An application on a port."""

    def __init__(self, base: str, http: aiohttp.ClientSession) -> None:
        self.base = base
        self.http = http
        self.peers: list[Peer] = []

    async def talk(self, transport: str, path: str, **options: Any) -> Peer:
        """Opens, and sees one message echoed."""
        peer = PEERS[transport](self.http, self.base + path, **options)
        self.peers.append(peer)
        await peer.open()
        await peer.echo("hello")
        return peer


@asynccontextmanager
async def running(app: web.Application) -> AsyncIterator[Running]:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession() as http:
        place = Running(f"http://127.0.0.1:{runner.addresses[0][1]}", http)
        try:
            yield place
        finally:
            for peer in place.peers:
                await peer.drop()
            await runner.cleanup()


# -- prefixes and endpoints --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "/realtime", "/a/b/c", "/~user/rt-1.0"])
async def test_any_prefix(transport: str, prefix: str) -> None:
    async with serving(prefix=prefix) as place:
        peer = place.peer(transport)
        await peer.open()
        await peer.echo("hello")


@pytest.mark.parametrize("prefix", ["realtime", "/", "/realtime/", "/{x}", "/a/{b:.*}", "/räum", "/a b", "//a", "/a?b"])
def test_a_bad_prefix_raises(prefix: str) -> None:
    with pytest.raises(realtime.LocalProtocolError, match="prefix is empty, or starts with"):
        realtime.setup(web.Application(), server(), prefix=prefix)


def test_one_prefix_is_for_one_server() -> None:
    app = web.Application()
    first = server()
    assert realtime.setup(app, first) is first
    with pytest.raises(realtime.LocalProtocolError, match="at prefix '/realtime' already"):
        realtime.setup(app, server())
    realtime.setup(app, server(), prefix="/other")


@pytest.mark.parametrize("path", ["", "/", "chat", "/chat/", "/{room}", "/a{b"])
def test_a_bad_endpoint_path_raises(path: str) -> None:
    with pytest.raises(realtime.LocalProtocolError, match="an endpoint's path starts with"):
        realtime.Server().endpoint(path)


def test_an_endpoint_path_is_taken_once() -> None:
    with pytest.raises(realtime.LocalProtocolError, match="an endpoint at '/echo' already"):
        server().endpoint("/echo")


def test_misspelt_options_raise_and_name_the_setting() -> None:
    with pytest.raises(TypeError, match=r"no setting 'ping_intervall'; did you mean 'ping_interval'\?"):
        realtime.Server(ping_intervall=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="no setting 'max_sise'"):
        realtime.Server().endpoint("/chat", max_sise=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="prefx"):
        realtime.setup(web.Application(), server(), prefx="/x")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    "name",
    [
        "authorize_ttl",
        "max_sessions",
        "max_sessions_per_address",
        "max_sessions_per_identity",
        "max_tombstones",
        "opens_per_second_per_address",
    ],
)
def test_a_setting_of_the_server_is_none_of_an_endpoint(name: str) -> None:
    settings: dict[str, Any] = {name: 3}
    with pytest.raises(TypeError, match=f"{name} is a setting of the whole server"):
        realtime.Server().endpoint("/chat", **settings)


def test_wrong_values_raise_and_name_the_setting() -> None:
    with pytest.raises(realtime.LocalProtocolError, match="max_queue=3"):
        realtime.Server(max_queue=3)
    with pytest.raises(realtime.LocalProtocolError, match="no transport 'smoke'"):
        realtime.Server().endpoint("/chat", transports=("websocket", "smoke"))


async def test_an_endpoint_overrides_the_settings_of_the_server() -> None:
    async with serving(max_size=1000) as place:
        place.rt.endpoint("/large", max_size=5000, transports=("polling",))(echo)
        assert (await place.peer("polling", "/large").open())["max_size"] == 5000
        assert (await place.peer("polling", "/echo").open())["max_size"] == 1000
        refused = await place.polls("/large").post("long_polling", ["o{}"])
        assert refused.refusal == (404, 4406, "carrier")
        assert "not in this endpoint's transports" in refused.frames[0]


async def test_an_endpoint_may_come_after_setup(transport: str, place: Place) -> None:
    place.rt.endpoint("/late/and/deep")(echo)
    peer = place.peer(transport, "/late/and/deep")
    await peer.open()
    await peer.echo("hello")


async def test_paths_are_matched_whole(place: Place) -> None:
    place.rt.endpoint("/echo/v1/polling")(echo)  # looks like a transport of /echo, and is an endpoint
    place.rt.endpoint("/größe x")(echo)
    for path in ("/echo", "/echo/v1/polling", "/größe x"):
        peer = place.peer("polling", path)
        await peer.open()
        await peer.echo("hello")
    for path in ("/ech", "/echo/", "/echo/x", "//echo"):
        answer = await place.polls(path).post("polling", ["o{}"])
        assert answer.refusal == (404, 4406, "carrier")


async def test_other_routes_live_beside_the_empty_prefix() -> None:
    async def page(request: web.Request) -> web.Response:
        return web.Response(text="a page")

    app = web.Application()
    realtime.setup(app, server(), prefix="")
    realtime.setup(app, server("/other"), prefix="/realtime")
    app.router.add_get("/page/about", page)
    async with running(app) as place:
        await place.talk("polling", "/echo")
        await place.talk("polling", "/realtime/other")
        async with place.http.get(place.base + "/page/about") as response:
            assert await response.text() == "a page"
        async with place.http.get(place.base + "/elsewhere") as response:
            assert response.status == 404


# -- applications ------------------------------------------------------------------------------------------------------


async def test_in_nested_applications(transport: str) -> None:
    app, middle, inner = web.Application(), web.Application(), web.Application()
    rt = realtime.setup(inner, server(), prefix="/rt")
    found: list[realtime.Server] = []

    async def look(request: web.Request) -> web.Response:
        found.append(realtime.get_server(request, prefix="/rt"))
        return web.Response()

    inner.router.add_get("/look", look)
    middle.add_subapp("/inner", inner)
    app.add_subapp("/middle", middle)
    async with running(app) as place:
        await place.talk(transport, "/middle/inner/rt/echo")
        async with place.http.get(place.base + "/middle/inner/look") as response:
            assert response.status == 200
        assert found == [rt]
        assert len(rt) == 1
    assert len(rt) == 0  # the sub-application's shutdown ended it


async def test_a_sub_application_finds_the_server_of_its_parent() -> None:
    app, inner = web.Application(), web.Application()
    rt = realtime.setup(app, server())
    found: list[realtime.Server] = []

    async def look(request: web.Request) -> web.Response:
        found.append(realtime.get_server(request))
        return web.Response()

    inner.router.add_get("/look", look)
    app.add_subapp("/inner", inner)
    async with running(app) as place, place.http.get(place.base + "/inner/look"):
        assert found == [rt]
    assert realtime.get_server(app) is rt


async def test_without_setup_get_server_says_what_to_do() -> None:
    app = web.Application()
    sentences: list[str] = []

    async def look(request: web.Request) -> web.Response:
        with pytest.raises(realtime.LocalProtocolError) as caught:
            realtime.get_server(request)
        sentences.append(str(caught.value))
        return web.Response()

    app.router.add_get("/look", look)
    async with running(app) as place, place.http.get(place.base + "/look"):
        pass
    assert sentences == [
        "no realtime server at prefix '/realtime': call realtime.setup(app, rt, prefix='/realtime') first (that of a"
        " sub-application is found from this, and from its own requests)"
    ]
    with pytest.raises(realtime.LocalProtocolError, match="prefix='/rt'"):
        realtime.get_server(app, prefix="/rt")
    realtime.setup(app := web.Application(), server())
    with pytest.raises(realtime.LocalProtocolError, match="'/other'"):
        realtime.get_server(app, prefix="/other")


async def test_several_servers_in_one_application(transport: str) -> None:
    app = web.Application()
    one = realtime.setup(app, server("/a", "/b"), prefix="/one")
    two = realtime.setup(app, server("/a"), prefix="/two")
    assert realtime.get_server(app, prefix="/one") is one
    assert realtime.get_server(app, prefix="/two") is two
    async with running(app) as place:
        await place.talk(transport, "/one/a")
        await place.talk(transport, "/one/b")
        await place.talk(transport, "/two/a")
        assert (len(one), len(two)) == (2, 1)
        stranger = PEERS["polling"](place.http, place.base + "/two/b")
        with pytest.raises(AssertionError, match="4406"):
            await stranger.open()
    assert (len(one), len(two)) == (0, 0)


async def test_several_applications_in_one_process(transport: str) -> None:
    servers = [server(), server()]
    apps = [web.Application(), web.Application()]
    for app, rt in zip(apps, servers, strict=True):
        realtime.setup(app, rt)
    async with running(apps[0]) as one, running(apps[1]) as two:
        first = await one.talk(transport, "/realtime/echo")
        second = await two.talk(transport, "/realtime/echo")
        assert [len(rt) for rt in servers] == [1, 1]
        assert first.sid.split(".")[0] != second.sid.split(".")[0]
        async with one.http.post(
            two.base + "/realtime/echo/v1/send", data=json.dumps([f"u{first.sid},0,0,1"])
        ) as answer:
            assert (answer.status, (await answer.json(content_type=None))[0][:13]) == (404, "x4404,session")


async def test_an_application_may_start_again_with_the_same_server() -> None:
    rt = server()
    for _ in range(2):
        app = web.Application()
        realtime.setup(app, rt)
        async with running(app) as place:
            await place.talk("websocket", "/realtime/echo")


def test_a_server_is_for_one_application() -> None:
    rt = server()
    one, two = web.Application(), web.Application()
    realtime.setup(one, rt)
    with pytest.raises(realtime.LocalProtocolError, match="another application already"):
        realtime.setup(two, rt)
    assert realtime.get_server(one) is rt
    with pytest.raises(realtime.LocalProtocolError):
        realtime.get_server(two)
    del one  # whoever makes an application and drops it may make another
    realtime.setup(two, rt)


async def test_an_engineio_endpoint_that_comes_too_late_is_not_half_there() -> None:
    rt = server()
    for _ in range(2):  # also where the server has had another application before
        app = web.Application()
        realtime.setup(app, rt)
        path = f"/before{len(rt._service.endpoints)}"
        rt.endpoint(path, engineio=path)(echo)
        async with running(app) as place:
            with pytest.raises(realtime.LocalProtocolError, match="before"):
                rt.endpoint("/late", engineio="/late")(echo)
            assert "/late" not in rt._service.endpoints
            async with place.http.get(f"{place.base}{path}?EIO=4&transport=polling") as answer:
                assert answer.status == 200
            async with place.http.get(f"{place.base}/realtime/late/negotiate") as answer:
                assert answer.status == 404
    async with running(web.Application()):
        rt.endpoint("/late")(echo)


# -- middlewares -------------------------------------------------------------------------------------------------------


async def test_a_middleware_that_adds_headers(transport: str) -> None:
    seen: list[int] = []

    @web.middleware
    async def add(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        response.headers["X-Added"] = "yes"
        seen.append(response.status)
        return response

    app = web.Application(middlewares=[add])
    realtime.setup(app, server())
    async with running(app) as place:
        await place.talk(transport, "/realtime/echo")
        async with place.http.post(place.base + "/realtime/echo/v1/polling", data="[]") as response:
            assert (response.status, response.headers["X-Added"]) == (400, "yes")
    assert seen


async def test_headers_added_on_prepare_reach_the_handshake() -> None:
    async def add(request: web.Request, response: web.StreamResponse) -> None:
        response.headers["X-Added"] = "yes"

    app = web.Application()
    app.on_response_prepare.append(add)
    realtime.setup(app, server())
    async with running(app) as place, place.http.ws_connect(place.base + "/realtime/echo/v1/websocket") as ws:
        assert ws._response.headers["X-Added"] == "yes"


async def test_a_middleware_that_raises_keeps_everybody_out(transport: str) -> None:
    @web.middleware
    async def forbid(request: web.Request, handler: Handler) -> web.StreamResponse:
        if "X-Key" not in request.headers:
            raise web.HTTPForbidden(text="no key")
        return await handler(request)

    app = web.Application(middlewares=[forbid])
    rt = realtime.setup(app, server())
    async with running(app) as place:
        with pytest.raises((aiohttp.WSServerHandshakeError, json.JSONDecodeError)):
            await place.talk(transport, "/realtime/echo")
        assert len(rt) == 0
        await place.talk(transport, "/realtime/echo", headers={"X-Key": "1"})


async def test_a_middleware_that_wraps_what_is_answered(transport: str) -> None:
    @web.middleware
    async def wrap(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        if isinstance(response, web.Response) and response.body is not None:
            wrapped = web.Response(status=response.status, body=response.body, content_type="text/plain")
            wrapped.enable_compression()
            return wrapped
        return response

    app = web.Application(middlewares=[wrap])
    realtime.setup(app, server())
    async with running(app) as place:
        peer = await place.talk(transport, "/realtime/echo")
        await peer.echo("ä" * 3000)


async def test_a_middleware_that_compresses_answers_without_a_body() -> None:
    @web.middleware
    async def compress(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        if not response.prepared:
            response.enable_compression()
        return response

    app = web.Application(middlewares=[compress])
    rt = realtime.setup(app, server(allowed_origins="*"))
    rt.endpoint("/s", sockjs=True, engineio="/engine.io/")(echo)
    asked = {"Origin": "http://page.example", "Access-Control-Request-Method": "POST"}
    said: list[int] = []
    async with running(app) as place:
        for path in ("echo/v1/polling", "echo/negotiate", "s/0/chosen/xhr", "../engine.io/?EIO=4&transport=polling"):
            async with place.http.options(f"{place.base}/realtime/{path}", headers=asked) as response:
                said.append(response.status)
        async with place.http.get(f"{place.base}/realtime/s/iframe.html") as page:
            headers = {"If-None-Match": page.headers["ETag"]}
        async with place.http.get(f"{place.base}/realtime/s/iframe.html", headers=headers) as response:
            said.append(response.status)
    assert said == [204, 204, 204, 204, 304]


@pytest.mark.parametrize("name", ["xhr_streaming", "sockjs"])
async def test_a_middleware_that_waits_for_no_stream_to_end(name: str) -> None:
    enough = asyncio.Event()

    @web.middleware
    async def limit(request: web.Request, handler: Handler) -> web.StreamResponse:
        serving = asyncio.ensure_future(handler(request))
        stop = asyncio.ensure_future(enough.wait())
        await asyncio.wait((serving, stop), return_when=asyncio.FIRST_COMPLETED)
        serving.cancel()
        await asyncio.wait((serving,))
        raise web.HTTPGatewayTimeout()

    app = web.Application(middlewares=[limit])
    rt = realtime.setup(app, server())
    rt.endpoint("/s", sockjs=True)(echo)
    path = {"xhr_streaming": "/realtime/echo/v1/xhr_streaming", "sockjs": "/realtime/s/123/abcdefgh/xhr_streaming"}
    async with running(app) as place:
        async with place.http.post(place.base + path[name], data=json.dumps([open_frame()])) as response:
            await response.content.readany()
            enough.set()
            with pytest.raises(aiohttp.ClientPayloadError):  # it is cut, and brings no second answer
                async with within():
                    await response.read()
        rt._service.sessions.end(1001, "the test is over")


def test_engineio_paths_are_one_for_all_servers_of_an_application() -> None:
    app = web.Application()
    first, second, third = server(), server(), server()
    first.endpoint("/a", engineio="/e/")(echo)
    second.endpoint("/b", engineio="/e")(echo)
    realtime.setup(app, first, prefix="/1")
    wanted = "another server's endpoint '/a' has '/e' already, for its clients of EngineIO: give this one another path"
    with pytest.raises(LocalProtocolError, match=wanted):
        realtime.setup(app, second, prefix="/2")
    assert (second._service.on_shutdown, second._service.on_endpoint) == ([], [])
    with pytest.raises(LocalProtocolError, match="no realtime server at prefix '/2'"):
        realtime.get_server(app, prefix="/2")
    realtime.setup(app, third, prefix="/3")
    with pytest.raises(LocalProtocolError, match="another server's endpoint '/a' has '/e'"):
        third.endpoint("/c", engineio="/e")(echo)
    assert list(third._service.endpoints) == ["/echo"]
    third.endpoint("/c", engineio="/other")(echo)
    realtime.setup(web.Application(), second)  # elsewhere it may


def test_what_is_taken_between_endpoint_and_its_decorator_is_refused() -> None:
    rt = server()
    same, path, route = rt.endpoint("/a", engineio="/e"), rt.endpoint("/a"), rt.endpoint("/b", engineio="/e/")
    same(echo)
    with pytest.raises(LocalProtocolError, match="there is an endpoint at '/a' already"):
        path(echo)
    with pytest.raises(LocalProtocolError, match="the endpoint '/a' has '/e' already"):
        route(echo)
    assert list(rt._service.endpoints) == ["/echo", "/a"]


async def test_what_treats_all_routes_alike_leaves_ours_alone() -> None:
    """The way of aiohttp-cors' own documentation, with the real package."""

    async def page(request: web.Request) -> web.Response:
        return web.Response(text="the page")

    rt = server(allowed_origins="https://friend.example")
    rt.endpoint("/e", engineio="/engine.io", sockjs=True)(echo)
    app = web.Application()
    app.router.add_get("/page", page)
    realtime.setup(app, rt)
    options: Any = aiohttp_cors.ResourceOptions
    cors = aiohttp_cors.setup(app, defaults={"*": options(allow_credentials=True, allow_headers="*")})
    for route in list(app.router.routes()):
        cors.add(route)
    assert {route.resource.canonical for route in app.router.routes() if route.resource} == {"/page"}
    friend = {"Origin": "https://friend.example"}
    async with running(app) as place:
        for path in ("/realtime/echo", "/realtime/e"):
            await place.talk("websocket", path, headers=friend)
            await place.talk("long_polling", path, headers=friend)
        asked = friend | {"Access-Control-Request-Method": "GET"}
        for url in ("/page", "/realtime/echo/v1/polling", "/realtime/e/info", "/engine.io/"):
            async with place.http.options(place.base + url, headers=asked) as answer:
                assert answer.status in (200, 204), url
                assert answer.headers.getall("Access-Control-Allow-Origin") == ["https://friend.example"]
        async with place.http.get(f"{place.base}/page", headers={"Origin": "https://other.example"}) as answer:
            assert answer.headers["Access-Control-Allow-Origin"] == "https://other.example"
        evil = {"Origin": "https://other.example"}
        async with place.http.post(f"{place.base}/realtime/echo/v1/polling", headers=evil) as answer:
            assert answer.status == 403
            assert "Access-Control-Allow-Origin" not in answer.headers
