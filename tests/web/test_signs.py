"""What a request has to show of its page, and what the application is not shown of a request, on every route.

The cases come from the tables of transports and framings, and from the routes. Which of them need a sign nobody lists:
whatever is answered by a script or a document does, because any page can read that.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import pytest
from multidict import CIMultiDict
from yarl import URL

import realtime
from realtime.core.carrier import Shape
from realtime.protocols.sockjs.framings import FRAMINGS
from realtime.transports import TRANSPORTS
from realtime.web.origins import AMBIENT_SCHEMES, without_ambient

from ..patience import within
from .place import Place, eventually, serving
from .raw import open_frame

pytestmark = pytest.mark.usefixtures("quiet_log")

FRESH = "a-name-that-is-new-each-time"  # of a session, wherever its client chooses one
FORM = "application/x-www-form-urlencoded"
FRIEND = "https://friend.example"
EVIL = "http://evil.example"


class RouteCase(NamedTuple):
    """A request that some client makes, and that opens a session unless `opens` is False."""

    method: str
    path: str
    body: str = ""
    kind: str = "text/plain"
    opens: bool = True

    @property
    def name(self) -> str:
        """How the tests call it."""
        where = self.path.partition("?")[0].replace(FRESH, "a") + ("?j" if "&j=" in self.path else "")
        return f"{self.method} {where}{' form' if self.kind == FORM else ''}"


def _native() -> list[RouteCase]:
    cases = []
    for name in [*TRANSPORTS, "send"]:
        said = open_frame(nonce=FRESH) if name != "send" else "unobody,0,0,1"
        fields = urlencode({"batch": json.dumps([said]), "frame": said, "callback": "take"})
        cases += [
            RouteCase("GET", f"/realtime/park/v1/{name}?{fields}", opens=name != "send"),
            RouteCase("POST", f"/realtime/park/v1/{name}", json.dumps([said]), opens=name != "send"),
            RouteCase("POST", f"/realtime/park/v1/{name}", fields, FORM, opens=name != "send"),
        ]
    return cases


def _sockjs() -> list[RouteCase]:
    cases = [RouteCase("GET", f"/realtime/park{rest}", opens=False) for rest in ("", "/info", "/iframe.html")]
    for path, framing in FRAMINGS.items():
        if framing.shape is not Shape.DUPLEX:
            cases.append(RouteCase(framing.method, f"/realtime/park/0/{FRESH}/{path}?c=take"))
    for path, kind, body in (
        ("xhr_send", "text/plain", '["x"]'),
        ("jsonp_send", FORM, "d=%5B%22x%22%5D"),
        ("jsonp_send", "text/plain", '["x"]'),
    ):
        cases.append(RouteCase("POST", f"/realtime/park/0/nobody/{path}", body, kind, opens=False))
    return cases


def _engineio() -> list[RouteCase]:
    cases = []
    for query in ("EIO=4&transport=polling", "EIO=3&transport=polling", "EIO=3&transport=polling&j=0"):
        cases.append(RouteCase("GET", f"/engine.io/?{query}"))
        cases.append(RouteCase("POST", f"/engine.io/?{query}&sid=nobody", "d=1:6", FORM, opens=False))
    return cases


CASES = [*_native(), *_sockjs(), *_engineio(), RouteCase("GET", "/realtime/park/negotiate", opens=False)]
every = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
# What needs a sign without a script or document for its answer: messages up, by the forms of SockJS and Engine.IO.
UPLINKS = ("/jsonp_send", "&j=0&sid=nobody")
# The patterns of all routes; those of the last line are files of ours, which say the same to everybody.
ROUTES = {
    "/realtime/{endpoint}",
    "/realtime/{endpoint}/v{version}/{transport}",
    "/realtime/{endpoint}/negotiate",
    "/engine.io",
    "/engine.io/",
    "/realtime/{file}",
}


@asynccontextmanager
async def house(
    allowed: tuple[str, ...] | str = (), **settings: Any
) -> AsyncIterator[tuple[Place, list[CIMultiDict[str]]]]:
    """A place at which every protocol is spoken, and the headers that its hook is shown."""
    rt = realtime.Server(allowed_origins=allowed, shutdown_timeout=0.3, **settings)
    seen: list[CIMultiDict[str]] = []

    @rt.authorize
    async def look(request: realtime.SessionRequest) -> None:
        seen.append(CIMultiDict(request.headers))

    def prepare(place: Place) -> None:
        del place.rt._service.endpoints["/park"]

        @rt.endpoint("/park", sockjs=True, engineio="/engine.io")
        async def park(session: realtime.Session) -> None:
            await session.wait_closed()

    async with serving(rt, prepare=prepare) as place:
        yield place, seen


async def knock(place: Place, case: RouteCase, headers: dict[str, str]) -> tuple[int, str, str]:
    """The answer's status, its type, and the beginning of its body."""
    name = secrets.token_urlsafe(18)
    url = URL(place.base + case.path.replace(FRESH, name), encoded=True)
    headers = headers | ({"Content-Type": case.kind} if case.method == "POST" else {})
    async with (
        within(),
        place.http.request(case.method, url, data=case.body.replace(FRESH, name), headers=headers) as answer,
    ):
        return answer.status, answer.headers.get("Content-Type", ""), (await answer.content.readany()).decode()


def needs_a_sign(case: RouteCase, kind: str) -> bool:
    """Whether any page can read an answer of this type to this request, by an element that it makes."""
    if any(part in case.path for part in UPLINKS):
        return True
    if case.path.startswith("/engine.io/") and case.method == "POST":
        return False  # the answer is "ok", as in the reference
    return "text/html" in kind or ("javascript" in kind and case.method == "GET")


@every
async def test_what_any_page_can_read_is_for_pages_that_show_themselves(case: RouteCase) -> None:
    async with house(FRIEND) as (place, seen):
        status, kind, _ = await knock(place, case, {"Origin": place.base})
        assert status != 403
        assert len(seen) == (status == 200 and case.opens)
        unsigned, _, told = await knock(place, case, {})
        if needs_a_sign(case, kind):
            assert unsigned == 403, "any page can read this: it has to know which one asks"
            assert "take" not in told
            assert "Forbidden" in told or "shows no page" in told
            assert len(seen) == (status == 200 and case.opens)
        else:
            assert unsigned == status
        for sign, there in (
            ({"Referer": f"{place.base}/page"}, True),
            ({"Sec-Fetch-Site": "same-origin"}, True),
            ({"Origin": FRIEND}, True),
            ({"Referer": f"{FRIEND}/page"}, True),
            ({"Referer": f"{FRIEND}/page", "Sec-Fetch-Site": "cross-site"}, True),
            ({"Origin": EVIL}, False),
            ({"Referer": f"{EVIL}/page"}, False),
            ({"Sec-Fetch-Site": "cross-site"}, False),
            ({"Sec-Fetch-Site": "same-site"}, False),
        ):
            if needs_a_sign(case, kind):
                assert ((await knock(place, case, sign))[0] == 403) is not there, sign


@every
async def test_where_any_origin_may_come_no_sign_is_needed(case: RouteCase) -> None:
    async with house("*") as (place, seen):
        status, _, _ = await knock(place, case, {"Origin": place.base})
        assert (await knock(place, case, {}))[0] == status != 403
        assert len(seen) == 2 * (status == 200 and case.opens)


@pytest.mark.parametrize("allowed", ["null", ("null", FRIEND)])
async def test_to_allow_null_is_not_to_allow_silence(allowed: tuple[str, ...] | str) -> None:
    async with house(allowed) as (place, seen):
        for case in CASES:
            if "/jsonp?" in case.path:
                assert (await knock(place, case, {}))[0] == 403
        assert seen == []


async def test_there_are_no_other_routes() -> None:
    """A new one needs a row in CASES."""
    async with house() as (place, _):
        patterns = {resource.canonical for resource in place.app.router.resources()}
        assert patterns == ROUTES


def test_every_route_is_another() -> None:
    assert len(CASES) == len({(case.method, case.path, case.kind) for case in CASES}) > 35


# -- what a browser adds by itself -------------------------------------------------------------------------------------

SCHEMES = ("Basic YWxpY2U6c2VjcmV0", "digest username=alice", "NEGOTIATE YII=", "NTLM TlRM", "Basic", " Basic\tYTpi")
KEPT = ("Bearer abc", "Token abc", "DPoP abc", "alice", "BasicX YTpi", "")
PROTOCOLS = (
    "/realtime/park/v1/websocket",
    "/realtime/park",
    "/realtime/park/websocket",
    "/realtime/park/0/w/websocket",
)


async def show(place: Place, path: str, headers: dict[str, str]) -> None:
    """Opens a session over a WebSocket."""
    query = "?open=" + quote(open_frame()[1:]) if "/v1/" in path else ""
    async with within(), place.http.ws_connect(place.base + path + query, headers=headers) as ws:
        if path not in ("/realtime/park", "/realtime/park/websocket"):
            await ws.receive()


def test_the_schemes() -> None:
    for value in SCHEMES:
        assert without_ambient(((b"Authorization", value.encode()),)) == ()
        assert without_ambient(((b"PROXY-authorization", value.encode()),)) == ()
    for scheme in AMBIENT_SCHEMES:
        assert without_ambient(((b"authorization", scheme.upper() + b" x"),)) == ()
    for value in KEPT:
        kept = ((b"X", b"y"), (b"authorization", value.encode()))
        assert without_ambient(((b"cookie", b"a=b"), *kept)) == kept


@pytest.mark.parametrize("framed", [False, True])
@pytest.mark.parametrize("scheme", ["Basic YTpi", "Digest username=alice", "Negotiate YII=", "NTLM TlRM", "Bearer abc"])
async def test_no_site_borrows_a_log_in(scheme: str, framed: bool) -> None:
    """Of what any site may have caused, the application sees nothing that a browser adds by itself."""
    login = {"Authorization": scheme, "Proxy-Authorization": scheme, "Cookie": "user=alice"}
    async with house("*") as (place, seen):
        # Of our own iframe page any page may be the frame: what comes through it is anybody's, too.
        page = (
            {"Origin": place.base, "Referer": f"{place.base}/realtime/park/iframe.html"} if framed else {"Origin": EVIL}
        )
        opened = 0
        for case in CASES:
            if case.opens and (not framed or "/park/0/" in case.path):
                opened += (await knock(place, case, page | login))[0] == 200
        for path in PROTOCOLS:
            if not framed or "/0/" in path:
                await show(place, path, page | login)
                opened += 1
        if not framed:
            await show(place, "/engine.io/?EIO=4&transport=websocket", page | login)
            opened += 1
        await eventually(lambda: len(seen) == opened)
        assert opened > (2 if framed else 10)
        for headers in seen:
            assert "Cookie" not in headers
            assert "Proxy-Authorization" not in headers
            assert headers.get("Authorization") == (scheme if scheme.startswith("Bearer") else None)


async def test_a_page_of_ours_and_a_client_that_says_so_keep_their_log_in() -> None:
    login = {"Authorization": "Basic YTpi", "Cookie": "user=alice"}
    async with house() as (place, seen):
        for case in CASES:
            if case.opens:
                await knock(place, case, login | {"Origin": place.base})
        asked = len(seen)
        for path in PROTOCOLS:
            await show(place, path, login | {"Origin": place.base})
        await eventually(lambda: len(seen) == asked + len(PROTOCOLS))
        for headers in seen:
            assert {name: headers[name] for name in login} == login


async def test_the_python_client_keeps_its_token_and_says_an_origin_for_a_log_in() -> None:
    async with house() as (place, seen):
        url = place.url("/park")
        for transport in ("websocket", "sse", "xhr_streaming", "long_polling", "polling"):
            for value in ("Bearer abc", "Basic YTpi"):
                async with within(), realtime.connect(url, transports=[transport], headers={"Authorization": value}):
                    assert (seen[-1]["Authorization"], seen[-1]["Origin"]) == (value, place.base)


async def test_who_logs_in_by_basic_without_an_origin_is_told_so_by_the_hook() -> None:
    """The refusal is the application's own; nothing else is in the way."""
    async with house() as (place, _):

        @place.rt.authorize
        async def login(request: realtime.SessionRequest) -> str:
            if "Authorization" not in request.headers:
                raise realtime.Unauthorized("log in")
            return "alice"

        auth = "Basic YWxpY2U6c2VjcmV0"
        case = next(case for case in CASES if case.path == "/realtime/park/v1/polling" and case.kind != FORM)
        assert (await knock(place, case, {"Authorization": auth}))[0] == 401
        assert (await knock(place, case, {"Authorization": auth, "Origin": place.base}))[0] == 200
