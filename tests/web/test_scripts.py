"""What script tags, iframes and forms ask, over real sockets: answers a page can take, and rubbish."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import pytest

import realtime
from realtime.transports.script import document

from ..patience import arrives, within
from .peer import HttpPeer, JsonpPeer
from .place import Place, eventually, serving
from .proof import attach_frame, uplink_frame
from .raw import open_frame

pytestmark = pytest.mark.usefixtures("quiet_log")

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSONP = re.compile(r'/\*\*/take\(("(?:[^"\\]|\\.)*")\);\r\n')
BLOCK = re.compile(r'<script>r\(("(?:[^"\\]|\\.)*")\)</script>\r\n</body></html>\r\n')
SAFE = {"Cache-Control": "no-store, no-transform", "X-Content-Type-Options": "nosniff"}


class Answer(NamedTuple):
    """A whole answer."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def frames(self) -> Any:
        """The batch in it, if it is what a page can take."""
        assert self.status == 200
        assert self.text.isascii()
        kind = self.headers["Content-Type"]
        if kind == "application/javascript; charset=utf-8":
            found = JSONP.fullmatch(self.text)
        else:
            assert kind == "text/html; charset=utf-8"
            found = BLOCK.fullmatch(self.text.removeprefix(document("take").decode()))
        assert found, self.text
        for name, value in SAFE.items():
            assert self.headers[name] == value
        return json.loads(json.loads(found[1]))

    @property
    def sentence(self) -> str:
        """What a person is told."""
        assert (self.status, self.headers["Content-Type"]) == (400, "text/plain; charset=utf-8")
        for name, value in SAFE.items():
            assert self.headers[name] == value
        return self.text


async def get(place: Place, path: str, **query: str) -> Answer:
    """A GET below /park/v1/."""
    return await raw(place, f"{path}?{urlencode(query, errors='surrogatepass')}")


PAGE = ("Referer: http://h/page",)  # of a page of the server's own, which a tag or form cannot but show


async def raw(place: Place, target: str, method: str = "GET", lines: tuple[str, ...] = (), body: bytes = b"") -> Answer:
    """A request of a page, byte by byte."""
    reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
    head = [f"{method} /realtime/park/v1/{target} HTTP/1.1", "Host: h", "Connection: close", *PAGE, *lines]
    if body:
        head.append(f"Content-Length: {len(body)}")
    writer.write("\r\n".join([*head, "", ""]).encode("utf-8", "surrogateescape") + body)
    async with within():
        said = await reader.read()
    writer.close()
    top, _, text = said.decode().partition("\r\n\r\n")
    first, *fields = top.split("\r\n")
    headers = dict(field.split(": ", 1) for field in fields)
    return Answer(int(first.split()[1]), headers, text)


async def post(place: Place, path: str, body: bytes | dict[str, str]) -> Answer:
    """A form below /park/v1/."""
    data = urlencode(body).encode() if isinstance(body, dict) else body
    return await raw(place, path, "POST", ("Content-Type: application/x-www-form-urlencoded",), data)


async def parked(place: Place) -> realtime.Session:
    """A session that was opened by a script."""
    opened, _ = (await get(place, "jsonp", frame=open_frame(), callback="take")).frames
    assert json.loads(opened[1:])["transport"] == "jsonp"
    return await arrives(place.sessions.get())


# -- scripts -----------------------------------------------------------------------------------------------------------


async def test_a_session_by_scripts_alone(place: Place) -> None:
    peer = place.peer("jsonp")
    assert isinstance(peer, JsonpPeer)
    peer.scripts = True
    await peer.open()
    await peer.echo("</script><!-- \u2028 'é' \\ \" 😀")
    await peer.send(b"\x00\xff")
    assert await peer.news() == b"\x00\xff"
    await peer.send("c1000,")
    assert peer.unread[-1] == "x1000,session,3,"


async def test_a_script_poll_is_held_and_superseded(place: Place) -> None:
    session = await parked(place)
    held = asyncio.create_task(get(place, "jsonp", frame=attach_frame(session, "jsonp", 3, 0, 0, 1), callback="take"))
    await eventually(lambda: session._machine.carrier is not None and session._machine.gen == 3)
    assert not held.done()
    await session.send("news")
    assert (await held).frames == ["r0,0", "mnews"]
    assert (await get(place, "jsonp", frame=attach_frame(session, "jsonp", 2, 0, 0, 1), callback="take")).frames == [
        "r0,0",
        "esuperseded",
    ]


async def test_sends_by_script(place: Place) -> None:
    session = await parked(place)
    batch = json.dumps([uplink_frame(session, 0, 0, 1, by="GET"), "mone +%&", "mé"])
    for _ in range(2):  # the second is a repetition
        assert (await get(place, "send", batch=batch, callback="take")).frames == ["a2,0"]
    assert [await session.receive(), await session.receive()] == ["one +%&", "é"]


@pytest.mark.parametrize(
    ("path", "query", "code"),
    [
        ("jsonp", "frame=", 4400),
        ("jsonp", "", 4400),
        ("jsonp", "frame=p", 4400),
        ("jsonp", "frame=ux,0,0,1", 4400),
        ("jsonp", "frame=rx,1,0,0,1", 4404),
        ("jsonp", "frame=%ff", 4400),
        ("send", "", 4400),
        ("send", "batch=", 4400),
        ("send", "batch=[]", 4400),
        ("send", "batch=[1]", 4400),
        ("send", "batch=%5b%ff%5d", 4400),
        ("send", "batch=[%5d", 4400),
        ("send", "batch=%zz", 4400),
        ("send", "batch=%", 4400),
        ("send", "batch=[]&batch=[]", 4400),
        ("send", "batch=" + quote('["ux,0,0,1","mlost"]'), 4404),
        ("send", "batch=" + quote('["rx,1,0,0,1"]'), 4400),
        ("send", "batch=" + quote('["o{}"]'), 4400),
    ],
)
async def test_refusals_can_be_read_by_a_script(place: Place, path: str, query: str, code: int) -> None:
    (told,) = (await raw(place, f"{path}?callback=take&{query}")).frames
    assert told.startswith(f"x{code},")


async def test_a_broken_frame_in_a_script_ends_the_session(place: Place) -> None:
    session = await parked(place)
    batch = json.dumps([uplink_frame(session, 0, 0, 1, by="GET"), "mone", "b!"])
    (told,) = (await get(place, "send", batch=batch, callback="take")).frames
    assert told.startswith("x1007,session,1,")


async def test_wrong_addresses_are_told_to_a_script() -> None:
    async with serving(transports=("websocket",)) as place:
        (told,) = (await get(place, "jsonp", frame=open_frame(), callback="take")).frames
        assert told.startswith("x4406,carrier,,jsonp is not in this endpoint's transports")
        (told,) = (await post(place, "polling", {"batch": "[]", "callback": "take"})).frames
        assert told.startswith("x4406,carrier,,polling is not in")
        assert (await get(place, "jsonp", frame=open_frame(), callback="a b")).status == 400


NO_NAMES = ("", "a%20b", "a+b", "alert(1)", "a%00", "%ff", "%zz", "%C3%A9", "a;b", "<script>", "x" * 65, "a&callback=b")


@pytest.mark.parametrize("path", ["jsonp", "htmlfile", "send"])
@pytest.mark.parametrize("name", NO_NAMES)
async def test_no_other_name_is_called(place: Place, path: str, name: str) -> None:
    answer = await raw(place, f"{path}?frame={quote(open_frame())}&batch=[]&callback={name}")
    assert "callback" in answer.sentence
    assert len(name) < 2 or name not in answer.sentence
    assert len(place.rt) == 0


@pytest.mark.parametrize("path", ["jsonp", "htmlfile"])
async def test_without_a_name_there_is_a_sentence(place: Place, path: str) -> None:
    assert "callback" in (await raw(place, f"{path}?frame={quote(open_frame())}")).sentence
    assert (await raw(place, path, "POST")).headers["Allow"] == "GET"
    assert (await raw(place, path, "HEAD")).status == 405


async def test_a_send_by_get_without_a_name_is_the_wrong_method(place: Place) -> None:
    answer = await raw(place, "send?batch=[]")
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")
    assert (await raw(place, "send?batch=[]&callback=take", "PUT")).status == 405


async def test_a_stale_iframe_gets_nothing(place: Place) -> None:
    session = await parked(place)
    await session.send("news")
    await get(place, "jsonp", frame=attach_frame(session, "jsonp", 9, 0, 0, 1), callback="take")
    answer = await get(place, "htmlfile", frame=attach_frame(session, "htmlfile", 2, 0, 0, 1), callback="take")
    assert (answer.status, answer.text) == (204, "")


# -- forms -------------------------------------------------------------------------------------------------------------


async def test_a_session_by_forms(place: Place) -> None:
    opening = {"batch": json.dumps([open_frame(auth="a secret")]), "callback": "take"}
    opened, _ = (await post(place, "polling", opening)).frames
    assert json.loads(opened[1:])["transport"] == "polling"
    session = await arrives(place.sessions.get())
    assert session.request.auth == "a secret"
    await session.send("down </script> é")
    batch = json.dumps([uplink_frame(session, 0, 0, 1), "mup + % & = é", 't"fresh"'], ensure_ascii=False)
    assert (await post(place, "send", {"batch": batch, "callback": "take"})).frames == ["a1,0", "t"]
    assert await session.receive() == "up + % & = é"
    poll = {
        "batch": json.dumps([attach_frame(session, "long_polling", 2, 0, 0, 2), "mmore"]),
        "callback": "take",
        "submit": "Go",
    }
    assert (await post(place, "long_polling", poll)).frames == ["r2,1", "mdown </script> é"]


@pytest.mark.parametrize("path", ["send", "polling", "long_polling"])
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"callback=take", 4400),
        (b"callback=take&batch", 4400),
        (b"batch=[]&callback=take", 4400),
        (b"batch=[1]&callback=take", 4400),
        (b"batch=%5b%ff%5d&callback=take", 4400),
        (b"batch=\xff&callback=take", 4400),
        (b"batch=%&callback=take", 4400),
        (b"batch=%4&callback=take", 4400),
        (b"batch=[]&callback=take&batch=[]", 4400),
        (b"BATCH=[]&callback=take", 4400),
    ],
)
async def test_a_form_with_no_batch(place: Place, path: str, body: bytes, code: int) -> None:
    (told,) = (await post(place, path, body)).frames
    assert told.startswith(f"x{code},carrier,,")


@pytest.mark.parametrize("path", ["send", "polling", "long_polling"])
@pytest.mark.parametrize(
    "body", [b"", b'["oo"]', b"batch=[]", *(f"batch=[]&callback={n}".encode() for n in NO_NAMES), b"&" * 50, b"\xff"]
)
async def test_a_form_without_a_name(place: Place, path: str, body: bytes) -> None:
    answer = await post(place, path, body)
    assert "text/plain" in answer.sentence
    assert len(place.rt) == 0


async def test_the_limits_of_a_form() -> None:
    async with serving(max_size=2000, max_batch_size=2000, max_queue=16, max_queue_size=65_536, max_batch=20) as place:
        session = await parked(place)
        limit = place.rt._service.config.max_body
        head = uplink_frame(session, 0, 0, 1)
        room = limit - len(json.dumps([head, "z"]))
        callback = b"&callback=take"

        def form(size: int, encoded: bool) -> bytes:
            batch = json.dumps([head, "z" + "x" * (size)]).encode()
            return b"batch=" + (b"".join(b"%%%02x" % byte for byte in batch) if encoded else batch) + callback

        for encoded in (True, False):
            assert (await post(place, "send", form(room, encoded))).frames == ["a0,0"]
            (told,) = (await post(place, "send", form(room + 1, encoded))).frames
            assert told.startswith(f"x4413,carrier,,the batch is above {limit} bytes")
        answer = await post(place, "send", b"batch=" + b"x" * (4 * limit) + callback)
        assert (answer.status, answer.text[:8]) == (413, '["x4413,')
        assert not session.closed


async def test_what_is_no_form_is_a_batch(place: Place) -> None:
    session = await parked(place)
    body = json.dumps([uplink_frame(session, 0, 0, 1)]).encode()
    for kind in ("text/plain", "application/json", "application/x-www-form-urlencodedx", ""):
        answer = await raw(place, "send", "POST", (f"Content-Type: {kind}",), body)
        assert (answer.status, answer.text) == (200, '["a0,0"]')
    form = f"batch={quote(body)}&callback=take".encode()
    for kind in ("APPLICATION/X-WWW-Form-urlencoded; charset=x", " application/x-www-form-urlencoded ;"):
        assert (await raw(place, "send", "POST", (f"Content-Type: {kind}",), form)).frames == ["a0,0"]


async def test_a_form_from_elsewhere_learns_nothing(place: Place) -> None:
    headers = {"Origin": "https://evil.example"} | FORM
    url = f"{place.url('/park')}/v1/polling"
    async with place.http.post(url, data=b"callback=take&batch=[]", headers=headers) as response:
        assert response.status == 403
        assert "take" not in await response.text()


async def test_a_form_of_a_stream_is_a_batch(place: Place) -> None:
    peer = HttpPeer(place.http, place.url("/park"), headers=FORM)
    async with place.http.post(f"{peer.url}/v1/xhr_streaming", data=b'["p"]', headers=FORM) as response:
        assert (response.status, response.headers["Content-Type"]) == (200, "text/plain; charset=utf-8")
