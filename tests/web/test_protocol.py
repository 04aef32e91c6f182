"""What docs/protocol.md says and only a running server shows: its examples, and where implementers stumbled."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import WSMsgType

from realtime.core.config import INITIAL_WINDOW

from ..patience import arrives
from .peer import Answer, HttpPeer, WebSocketPeer, batch
from .place import Place, serving

pytestmark = pytest.mark.usefixtures("quiet_log")

PAGE = (Path(__file__).parents[2] / "docs/protocol.md").read_text()


async def read(peer: WebSocketPeer) -> Any:
    """What comes next on a WebSocket, as it came, but for tickets; the code when it was closed."""
    message = await arrives(peer.ws.receive())
    while message.type is WSMsgType.TEXT and message.data[0] == "k":
        message = await arrives(peer.ws.receive())
    return message.data if message.type in (WSMsgType.TEXT, WSMsgType.CLOSE) else message


def example(begins: str) -> list[str]:
    """The lines of one of the examples of §12, without what is said about them."""
    lines = PAGE[PAGE.index(begins) :].split("\n\n")[1].splitlines()
    return [line[4:].partition("   ")[0].strip() for line in lines]


async def test_the_example_over_websocket(place: Place) -> None:
    told = example("Open over WebSocket, one message each way, clean close")
    peer = place.websocket()
    await peer.connect("?open=" + quote(json.dumps(peer.open_object())))
    assert (await read(peer))[:2] == told[2][2:4] == "o{"
    for line in told[3:]:
        if line[:3] == "< k":
            continue  # read() takes them
        if line[0] == ">":
            await peer.ws.send_str(line[2:])
        else:
            assert await read(peer) == line[2:]
    assert await read(peer) == 1000


async def test_a_close_is_received_and_never_taken(place: Place) -> None:
    peer = place.polls()
    await peer.open()
    assert (await peer.post("send", [peer.uplink_frame(), "c1000,"])).frames == ["x1000,session,1,"]
    ws = place.websocket("/park")
    await ws.open()
    await ws.ws.send_str("c1000,")
    assert [await read(ws) for _ in range(3)] == ["a1,0", "x1000,session,1,", 1000]


async def test_a_websocket_that_was_superseded_is_closed_with_1000_and_its_session_goes_on(place: Place) -> None:
    old = place.websocket()
    await old.open()
    new = place.websocket()
    new.sid, new.key, new.gen = old.sid, old.key, old.gen
    await new.resume()  # by an attach as the first frame: nothing was probed
    assert [await read(old), await read(old)] == ["esuperseded", 1000]
    await new.echo("still here")


async def test_the_ack_of_a_close_may_be_repeated(place: Place) -> None:
    peer, session = await place.parked("polling")
    assert isinstance(peer, HttpPeer)
    closed = asyncio.create_task(session.close(3000, "bye"))
    assert await peer.news() == "c3000,bye"
    head = [f"u{peer.sid},1,0,1,{peer.key}"]
    first = await peer.post("send", head)
    assert first == Answer(200, ["x3000,session,0,bye"])
    for _ in range(3):
        assert await peer.post("send", head) == Answer(410, ["x3000,session,0,bye"])
    await arrives(closed)
    assert session.close_code == 3000


async def test_a_first_message_above_the_initial_window_may_go_alone() -> None:
    large = "m" + "x" * (INITIAL_WINDOW.size + 1)
    async with serving() as place:
        peer = place.polls(transport="polling")
        answer = await peer.post("polling", ["o" + json.dumps(peer.open_object()), large])
        assert answer.status == 200
        peer.note(answer.frames[0])
        while (frames := (await peer.poll()).frames)[-1][:1] != "m":
            assert frames[-1][:1] in "ra"
        assert frames[-1] == large


async def test_an_ack_may_come_at_any_time_and_say_nothing_new(place: Place) -> None:
    peer = place.websocket()
    await peer.open()
    for text in ("one", "two"):
        for _ in range(3):
            await peer.send(f"a{peer.received},{peer.received}")
        await peer.echo(text)


async def test_the_answer_to_a_ping_has_acks_unless_they_are_announced(place: Place) -> None:
    peer = place.websocket()
    peer.acking = False
    await peer.open()
    await peer.ws.send_str("a0,0")
    await peer.ws.send_str("p")
    assert await read(peer) == "q"  # `o` has announced all there is
    await peer.ws.send_str("mhello")
    assert await read(peer) == "mhello"
    await peer.ws.send_str("p1")
    assert [await read(peer), await read(peer)] == ["a1,1", "q1"]
    # The answer to a send has them too, and announces nothing: the WebSocket is told again.
    async with place.http.post(
        place.url("/echo/v1/send"), data=batch(f"u{peer.sid},1,1,2,{peer.key}", "mmore")
    ) as answer:
        assert (await answer.json(content_type=None))[0][:3] == "a2,"
    assert await read(peer) == "mmore"
    await peer.ws.send_str("p2")
    assert [await read(peer), await read(peer)] == ["a2,2", "q2"]


async def test_transports_need_not_be_named(place: Place) -> None:
    for missing in (False, True):
        peer = place.polls()
        members = peer.open_object(transports=[])
        if missing:
            del members["transports"]
        answer = await peer.post("long_polling", ["o" + json.dumps(members)])
        told = json.loads(answer.frames[0][1:])["transports"]
        assert {choice["verdict"] for choice in told} == {"taken", "offered"}


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "echo/v1/send?batch=[]", 405),
        ("GET", "echo/v1/send?batch=[]&callback=1", 400),
        ("GET", "echo/v1/send?batch=[]&callback=a&callback=b", 400),
        ("GET", "echo/v1/jsonp?frame=p", 400),
        ("GET", "echo/v1/htmlfile?frame=p", 400),
        ("GET", "nowhere/v1/jsonp?frame=p", 400),
        ("POST", "echo/v1/jsonp?frame=p", 405),
        ("POST", "echo/v1/htmlfile", 405),
    ],
)
async def test_without_a_function_to_call(place: Place, method: str, target: str, status: int) -> None:
    page = {"Referer": f"{place.base}/page"}  # a script shows whose it is
    async with place.http.request(method, f"{place.base}/realtime/{target}", headers=page) as answer:
        assert answer.status == status
        assert ("Allow" in answer.headers) is (status == 405)
        text = await answer.text()
    assert text.startswith('["x4405,carrier,') is (status == 405)
