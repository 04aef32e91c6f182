"""A wire protocol of somebody else's, tests/toy, is added by one line; nothing shared knows any by its name."""

from __future__ import annotations

import ast
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiohttp import web

import realtime
from realtime.core.dialects import Dialect
from realtime.testing import VirtualClock
from realtime.web.dialects import ROUTES

from ..patience import within
from ..toy.protocol import Toy
from ..toy.routes import ToyRoutes
from .place import Place, eventually, serving

# The one line, as it would stand in realtime/web/dialects.py.
LINE: dict[type[Dialect], type[ToyRoutes]] = {Toy: ToyRoutes}


@pytest.fixture(autouse=True)
def added(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line is there."""
    for kind, routes in LINE.items():
        monkeypatch.setitem(ROUTES, kind, routes)


async def echo(session: realtime.Session) -> None:
    """Answers; ends at "bye"."""
    async for message in session:
        await session.send(message)
        if message == "bye":
            await session.close(3000, "bye")


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    """A place where /all speaks everything, and /toys has a path of its own."""
    rt = realtime.Server(shutdown_timeout=0.3, clock=VirtualClock())
    rt.endpoint("/all", sockjs=True, engineio="/engine.io", dialects=[Toy(most=2)])(echo)
    rt.endpoint("/own", dialects=[Toy(path="/toys")])(echo)
    async with serving(rt) as place, within("the toy"):
        yield place


async def frames(place: Place, path: str, sent: list[str]) -> tuple[list[str], int | None]:
    """What a WebSocket hears until it is closed, and with which code."""
    async with place.http.ws_connect(place.base + path) as ws:
        assert await ws.receive_str() == "+"
        for frame in sent:
            await ws.send_str(frame)
        heard = [message.data async for message in ws]
        return heard, ws.close_code


async def test_a_websocket_talks(place: Place) -> None:
    assert await frames(place, "/realtime/all/toy", ["=hé", "=", "=bye"]) == (["=hé", "=", "=bye", "-3000"], 3000)
    assert not place.rt._service.sessions


async def test_a_websocket_that_speaks_nonsense_is_not_spoken_to(place: Place) -> None:
    assert await frames(place, "/realtime/all/toy", ["+"]) == ([], 1002)
    assert await frames(place, "/realtime/all/toy", ["=1\n=2\n=3"]) == ([], 1002)  # above `most`


async def test_polls_and_posts_talk(place: Place) -> None:
    url = place.url("/all/toy/mine")
    assert await answer(place, "GET", url) == (200, "+")
    assert await answer(place, "POST", url, "=1\n=2") == (204, "")
    assert await answer(place, "GET", url) == (200, "=1\n=2")
    poll = place.http.get(url)  # waits for what comes
    assert await answer(place, "POST", url, "=bye") == (204, "")
    async with poll as held:
        assert await held.text() == "=bye"
    assert await answer(place, "GET", url) == (200, "-3000")
    assert await answer(place, "POST", url, "=late") == (204, "")  # we have closed it


async def test_what_a_poll_may_not(place: Place) -> None:
    url = place.url("/all/toy/mine")
    assert await answer(place, "POST", url, "=1") == (404, "")
    assert await answer(place, "GET", url) == (200, "+")
    assert await answer(place, "POST", url, "nonsense") == (400, "at most 2 frames, each =<text>")
    assert (await answer(place, "GET", place.url("/all/toy"))) == (400, "the Upgrade header is missing or wrong")
    async with place.http.get(place.url("/all/toy/x"), headers={"Origin": "https://elsewhere.example"}) as refused:
        assert refused.status == 403


async def test_it_is_served_where_it_is_spoken_and_nowhere_else(place: Place) -> None:
    assert await frames(place, "/toys", ["=bye"]) == (["=bye", "-3000"], 3000)
    assert await frames(place, "/toys/", ["=bye"]) == (["=bye", "-3000"], 3000)
    for path in ("/echo/toy", "/own/toy", "/own/toy/x"):
        assert (await answer(place, "GET", place.url(path)))[0] == 404


async def test_the_others_are_spoken_at_the_same_endpoint(place: Place) -> None:
    async with place.http.ws_connect(place.url("/all")) as bare:
        await bare.send_str("raw")
        assert await bare.receive_str() == "raw"
    assert await answer(place, "POST", place.url("/all/0/a/xhr")) == (200, "o\n")
    status, said = await answer(place, "GET", f"{place.base}/engine.io?EIO=4&transport=polling")
    assert (status, said[:1]) == (200, "0")
    peer = place.peer("long_polling", "/all")
    await peer.open()
    kinds = sorted(type(session._machine).__name__ for session in place.rt.sessions)
    assert kinds[:3] == ["EngineMachine", "NumberedMachine", "PlainMachine"]


async def test_a_room_holds_its_members_with_everybody_else(place: Place) -> None:
    async with place.http.ws_connect(place.url("/all/toy")) as one, place.http.ws_connect(place.url("/all")) as other:
        assert await one.receive_str() == "+"
        await eventually(lambda: len(place.rt) == 2)
        for session in place.rt.sessions:
            await session.join("hall")
        await place.rt.room("hall").send("hello")
        assert (await one.receive_str(), await other.receive_str()) == ("=hello", "hello")
        await place.rt.room("hall").send(b"bytes")  # which the toy has no words for: it is skipped
        assert await other.receive_bytes() == b"bytes"


async def answer(place: Place, method: str, url: str, body: str | None = None) -> tuple[int, str]:
    """What a request is answered with."""
    async with place.http.request(method, url, data=body) as response:
        return response.status, await response.text()


async def test_what_has_no_routes_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(ROUTES, Toy)
    rt, app = realtime.Server(), web.Application()
    rt.endpoint("/toy", dialects=[Toy()])(echo)
    with pytest.raises(realtime.LocalProtocolError, match="/toy' speaks Toy, which has no routes"):
        realtime.setup(app, rt)
    assert len(app.router.resources()) == 0
    late = realtime.setup(app, realtime.Server())
    with pytest.raises(realtime.LocalProtocolError, match="/toy' speaks Toy, which has no routes"):
        late.endpoint("/toy", dialects=[Toy()])(echo)
    assert "/toy" not in late._service.endpoints


# -- who knows whom --------------------------------------------------------------------------------------------------

REALTIME = Path(realtime.__file__).parent
NAMES = re.compile(r"sockjs|engine\.?io|\btoy", re.IGNORECASE)
# A protocol's own: its folder, its gate and its URLs.
ROOMS = re.compile(
    r"protocols/(sockjs|engineio)/.*|gates/(sockjs|engineio|backlog)\.py|web/(sockjs|engineio)\.py|cluster/bridge\.py"
)
# The line of each; and what applications may say instead of `dialects=[…]`.
LINES = {"web/dialects.py", "protocols/dialects.py", "__init__.py"}


def naming() -> Iterator[tuple[str, int]]:
    """Where protocols are named that have no business there."""
    for path in sorted(REALTIME.rglob("*.py")):
        module = path.relative_to(REALTIME).as_posix()
        if ROOMS.fullmatch(module) or module in LINES:
            continue
        text = path.read_text("utf-8")
        sugar = sugar_of(text) if module == "server.py" else set()
        for number, line in enumerate(text.splitlines(), 1):
            if NAMES.search(line) and number not in sugar:
                yield module, number


def sugar_of(source: str) -> set[int]:
    """The lines of Server.endpoint(), which takes `sockjs=` and `engineio=`, and of the imports it needs for that."""
    kinds = ast.AsyncFunctionDef | ast.FunctionDef | ast.ImportFrom
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, kinds)]
    sugar = [node for node in nodes if isinstance(node, ast.ImportFrom) or node.name == "endpoint"]
    return {number for node in sugar for number in range(node.lineno, (node.end_lineno or 0) + 1)}


def test_nothing_shared_names_a_protocol() -> None:
    assert list(naming()) == []


def test_a_line_that_names_one_is_found() -> None:
    assert sugar_of("from .x import SockJS\n\ndef endpoint(\n    sockjs): ...\ndef other(): ...\n") == {1, 3, 4}
    named = ("Engine.IO", "self.engineio", "SockJS(", "Toy()")
    assert all(NAMES.search(text) for text in named)
    assert not NAMES.search("history of a stoyanov")


def test_each_dialect_has_one_line() -> None:
    text = (REALTIME / "web/dialects.py").read_text("utf-8")
    for kind, routes in ROUTES.items():
        if kind not in LINE:
            assert text.count(f"    {kind.__name__}: {routes.__name__},\n") == 1
