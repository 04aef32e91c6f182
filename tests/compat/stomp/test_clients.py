"""The STOMP clients that people have: @stomp/stompjs and webstomp-client over WebSockets and SockJS, stompit over TCP,
and stomp.py over TCP and WebSockets.

`make test` installs those of npm (`.ci/clients`). Where there is no Node, or no installed packages, theirs are skipped.
"""

from __future__ import annotations

import asyncio
import json
import queue
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import stomp as stomp_py  # type: ignore[import-untyped]

import realtime

from ...web.place import Place, serving
from ..node import Node

HERE = Path(__file__).parent
LIMIT = 60.0  # seconds, for what takes one
TEXT = "héllo \U0001f600\n"

needs_node = pytest.mark.skipif(
    shutil.which("node") is None or not (HERE / "node_modules").is_dir(),
    reason="needs Node 18 and the packages of this folder: sh .ci/clients",
)
NODE = Node(HERE)


@pytest.fixture(scope="module", autouse=True)
def _stopped() -> Iterator[None]:
    yield
    NODE.stop()


@asynccontextmanager
async def stomping() -> AsyncIterator[tuple[Place, realtime.STOMP]]:
    """A place with STOMP at /stomp, whose clients log in."""
    rt = realtime.Server(shutdown_timeout=0.3)
    stomp = realtime.STOMP(tcp=("127.0.0.1", 0), heart_beat=(1.0, 1.0))

    @stomp.connect
    async def connect(client: realtime.StompClient) -> str | None:
        if client.passcode != "secret":
            raise realtime.Unauthorized("no such login")
        return client.login

    @stomp.on("/app/greet")
    async def greet(client: realtime.StompClient, message: realtime.StompMessage) -> str:
        return f"Hello, {message.text}, says {client.identity}"

    rt.endpoint("/stomp", sockjs=True)(stomp)
    async with serving(rt) as place:
        yield place, stomp


async def visit(plan: dict[str, Any]) -> dict[str, Any]:
    """What a client of Node has seen."""
    async with stomping() as (place, stomp), asyncio.timeout(LIMIT):
        host, port = stomp.addresses[0]
        given = {
            "url": place.url("/stomp"),
            "host": host,
            "port": port,
            "login": "ada",
            "binary": False,
            "text": TEXT,
            **plan,
        }
        line = await asyncio.to_thread(NODE.ask, json.dumps(given))
        told: dict[str, Any] = json.loads(line)
        return told


def check(told: dict[str, Any], version: str, *, foo: str = "bar", text: str = TEXT) -> None:
    """A client that has seen everything."""
    assert told["error"] == ""
    assert told.get("version") in (version, "")
    events = told["events"]
    assert [event[0] for event in events] == ["topic", "user", "queue", "queue", "topic", "disconnected"]
    topic, user, first, second, committed, _ = events
    assert topic[1] == text
    assert topic[2]["foo"] == foo
    assert topic[2]["content-type"] == "text/plain"
    assert user[1] == "Hello, world, says ada"
    assert user[2]["destination"] == "/user/queue/me"
    assert first[1] == second[1] == "work"
    assert "redelivered" not in first[2]
    assert second[2]["redelivered"] == "true"
    assert committed[1] == "committed"


@needs_node
@pytest.mark.parametrize(
    ("carrier", "transports"),
    [("websocket", []), ("sockjs", ["websocket"]), ("sockjs", ["xhr-streaming"]), ("sockjs", ["xhr-polling"])],
    ids=["websocket", "sockjs-websocket", "sockjs-streaming", "sockjs-polling"],
)
@pytest.mark.parametrize(("library", "version"), [("stompjs", "1.1"), ("stompjs", "1.2"), ("webstomp", "1.2")])
async def test_over_websockets_and_sockjs(library: str, carrier: str, transports: list[str], version: str) -> None:
    # Of these only stompjs escapes headers, and only those of 1.2. (It takes a backslash before an r for a return.)
    foo = "b:\\ a\n\r" if (library, version) == ("stompjs", "1.2") else "bar"
    plan = {"library": library, "carrier": carrier, "transports": transports, "versions": [version], "foo": foo}
    check(await visit(plan), version, foo=foo)


@needs_node
@pytest.mark.parametrize("settings", [{"binary": True}, {"split": True}], ids=["binary", "split"])
async def test_stompjs_in_bytes_and_in_pieces(settings: dict[str, bool]) -> None:
    text = "héllo\n"  # what is cut in pieces there is cut in the middle of other characters
    plan = {"library": "stompjs", "carrier": "websocket", "versions": ["1.0", "1.1", "1.2"], "text": text, **settings}
    check(await visit(plan), "1.2", text=text)


@needs_node
@pytest.mark.parametrize("transport", ["websocket", "long_polling", "polling"])
async def test_stompjs_over_our_own_client(transport: str) -> None:
    plan = {"library": "stompjs", "carrier": "realtime", "transports": [transport], "versions": ["1.2"]}
    check(await visit(plan), "1.2")


@needs_node
@pytest.mark.parametrize("version", ["1.1", "1.2"])
async def test_stompit_over_tcp(version: str) -> None:
    check(await visit({"library": "stompit", "versions": [version]}), version)


class Heard(stomp_py.ConnectionListener):  # type: ignore[misc] # it says nothing of its types
    """What a client of stomp.py hears."""

    def __init__(self) -> None:
        self.news: queue.Queue[tuple[str, Any]] = queue.Queue()

    def on_connected(self, frame: Any) -> None:
        self.news.put(("connected", frame))

    def on_message(self, frame: Any) -> None:
        self.news.put(("message", frame))

    def on_receipt(self, frame: Any) -> None:
        self.news.put(("receipt", frame))

    def on_error(self, frame: Any) -> None:
        self.news.put(("error", frame))

    def on_disconnected(self) -> None:
        self.news.put(("disconnected", None))

    def next(self, kind: str) -> Any:
        """The next of its kind; what comes before it must not be an error."""
        while True:
            what, frame = self.news.get(timeout=LIMIT)
            if what == kind:
                return frame
            assert what in ("receipt", "connected"), (what, frame)


CLIENTS = {
    "1.0": stomp_py.Connection10,
    "1.1": stomp_py.Connection11,
    "1.2": stomp_py.Connection12,
    "websocket": stomp_py.WSStompConnection,
}


@pytest.mark.parametrize("kind", CLIENTS)
async def test_stomp_py(kind: str) -> None:
    async with stomping() as (place, stomp), asyncio.timeout(LIMIT):
        address = stomp.addresses[0]
        options: dict[str, Any] = {} if kind == "1.0" else {"heartbeats": (1000, 1000)}
        if kind == "websocket":
            address = ("127.0.0.1", place.port)
            options["ws_path"] = f"{place.prefix}/stomp"
        client = CLIENTS[kind]([address], **options)
        await asyncio.to_thread(_visit, client, kind)


def _visit(client: Any, kind: str) -> None:
    heard = Heard()
    client.set_listener("", heard)
    client.connect("ada", "secret", wait=True)
    assert heard.next("connected").headers["version"] == ("1.2" if kind == "websocket" else kind)
    names = {} if kind == "1.0" else {"id": "0"}
    client.subscribe("/topic/a", **names, headers={"receipt": "r"})
    assert heard.next("receipt").headers["receipt-id"] == "r"
    client.send("/topic/a", TEXT, content_type="text/plain", headers={"foo": "bar"})
    message = heard.next("message")
    assert (message.body, message.headers["foo"]) == (TEXT, "bar")
    ack = "client" if kind == "1.0" else "client-individual"
    client.subscribe("/queue/a", ack=ack, **({} if kind == "1.0" else {"id": "1"}))
    transaction = client.begin()
    client.send("/queue/a", "1", transaction=transaction)
    client.send("/queue/a", "2", transaction=transaction)
    client.commit(transaction)
    for body in "12":
        message = heard.next("message")
        assert message.body == body
        if kind == "1.0":
            client.ack(message.headers["message-id"])
        elif kind == "1.1":
            client.nack(message.headers["message-id"], "1")
            message = heard.next("message")
            client.ack(message.headers["message-id"], "1")
        else:
            client.ack(message.headers["ack"])
        if kind == "1.1":
            break  # the second may come between the two
    transaction = client.begin()
    client.send("/topic/a", "aborted", transaction=transaction)
    client.abort(transaction)
    client.disconnect(receipt="bye")
    while heard.news.get(timeout=LIMIT)[0] != "disconnected":
        pass


async def test_stomp_py_is_refused() -> None:
    async with stomping() as (_, stomp), asyncio.timeout(LIMIT):

        def refused() -> Any:
            client, heard = stomp_py.Connection12([stomp.addresses[0]], reconnect_attempts_max=1), Heard()
            client.set_listener("", heard)
            with pytest.raises(stomp_py.exception.ConnectFailedException):
                client.connect("ada", "wrong", wait=True)
            return heard.next("error")

        assert (await asyncio.to_thread(refused)).body == "no such login"
