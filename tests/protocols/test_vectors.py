"""The vectors of tests/vectors against the Python code: decoded always, encoded where they are canonical."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from realtime.core.carrier import NumberedCarrier, Shape
from realtime.core.client_machine import Attach, ClientMachine, Uplink
from realtime.core.config import Config
from realtime.core.durable.following import Following
from realtime.core.errors import LocalProtocolError, Refusal, RemoteProtocolError
from realtime.core.frames import Outgoing, RoomItem, RoomMessage, RoomNote, RoomPosition, Window
from realtime.core.inbox import Inbox
from realtime.core.numbered_machine import NumberedMachine
from realtime.protocols.native import (
    NativeCodec,
    Open,
    Opened,
    RequestHead,
    attach_frame,
    feed_client,
    feed_server,
    open_frame,
    opened_frame,
    parse_head,
    parse_refusal,
    refusal_frame,
    uplink_frames,
)
from realtime.transports import TRANSPORTS, Facts, Form, Frame, LongPolling, Transport, WebSocketMessages
from realtime.transports.batch import BatchDecoder
from realtime.transports.form import parse_fields
from realtime.transports.script import check_callback

from ..core.fakes import Diary, FakeCodec, FakeLink

VECTORS = Path(__file__).parents[1] / "vectors"
WEBSOCKET = NativeCodec(WebSocketMessages())
POLL = NativeCodec(LongPolling())


def load(name: str) -> list[dict[str, Any]]:
    """One file."""
    return cast("list[dict[str, Any]]", json.loads((VECTORS / name).read_text("ascii")))


def vectors(name: str, *, canonical: bool = False) -> pytest.MarkDecorator:
    """Parametrises a test with the vectors of a file."""
    chosen = [vector for vector in load(name) if not canonical or vector.get("canonical")]
    assert chosen
    return pytest.mark.parametrize("vector", chosen, ids=named)


def named(vector: dict[str, Any]) -> str:
    """How a test of it is called."""
    return str(vector["name"])


FILES = [
    "frames.json",
    "rooms.json",
    "batches.json",
    "streams.json",
    "scripts.json",
    "opens.json",
    "attaches.json",
    "refusals.json",
]
MEMBERS = {
    "name",
    "from",
    "canonical",
    "http",
    "transport",
    "callback",
    "max_frames",
    "max_bytes",
    "max_auth",
    "coding",
}
MAX_AUTH = 16_384


@pytest.mark.parametrize("name", FILES)
def test_the_files_are_as_their_readme_says(name: str) -> None:
    names = [vector["name"] for vector in load(name)]
    assert len(set(names)) == len(names)
    for vector in load(name):
        assert vector["from"] in ("client", "server", "both")
        wire = {"frame", "binary", "body", "base64"} & set(vector)
        meaning = {"means", "frames", "fields", "error"} & set(vector)
        assert len(wire) == len(meaning) == 1, vector["name"]
        assert set(vector) <= MEMBERS | wire | meaning
        assert not (vector.get("canonical") and "error" in vector)


class Recorder:
    """In place of a machine: writes down what a frame asked of it, in the words of the vectors."""

    def __init__(self, max_auth: int) -> None:
        self.config = Config(max_auth_size=max_auth)
        self.contact = 0.0
        self.used = True
        self.inbox = Inbox(Window(1, 1))
        self.following = Following()
        self.asked: list[dict[str, Any]] = []

    def _note(self, kind: str, **fields: Any) -> None:
        self.asked.append({"kind": kind, **fields})

    def message(self, carrier: NumberedCarrier, data: str | bytes | RoomMessage, size: int, now: float) -> None:
        """`m` or `b`, or of a room."""
        if isinstance(data, RoomMessage):
            self.message(carrier, data.data, size, now)
            said = self.asked.pop()
            self._note("room_" + said.pop("kind"), room=data.room, cursor=data.cursor, **said)
        elif isinstance(data, str):
            assert size == len(data.encode())
            self._note("text", text=data)
        else:
            assert size == len(data)
            self._note("binary", base64=base64.b64encode(data).decode())

    def drop_note(self, carrier: NumberedCarrier, count: int, now: float) -> None:
        """`d`."""
        self._note("dropped", count=count)

    def room_position(self, carrier: NumberedCarrier, position: RoomPosition, now: float) -> None:
        """`h` without a message."""
        place = {"room": position.room, "cursor": position.cursor}
        if position.missing is None:
            self._note("position", **place)
        else:
            self._note("gap", **place, missing=position.missing)

    def peer_closed(self, carrier: NumberedCarrier, code: int, reason: str, now: float) -> None:
        """`c`."""
        self._note("close", code=code, reason=reason)

    def renumber(self, carrier: NumberedCarrier, number: int) -> None:
        """`n`."""
        self._note("number", number=number)

    def acknowledged(self, received: int, taken: int, now: float) -> bool:
        """`a`."""
        self._note("ack", received=received, taken=taken)
        return True

    def pinged(self, carrier: NumberedCarrier, payload: str) -> None:
        """`p`."""
        self._note("ping", payload=payload)

    def peer_going(self, last: int) -> None:
        """`g` of a client."""
        self._note("going", last=last)

    def going_away(self, now: float) -> None:
        """`g` of a server; the delay is read by whoever waits for it."""
        self._note("go_away")

    def attach_answered(self, carrier: NumberedCarrier, received: int, taken: int, now: float) -> None:
        """`r` of a server."""
        self._note("attached", received=received, taken=taken)

    def opened(
        self,
        carrier: NumberedCarrier,
        sid: str,
        window: Window,
        received: int,
        taken: int,
        now: float,
        key: str,
        tenure: str,
    ) -> None:
        """`o` of a server."""
        durable = {"tenure": tenure} if tenure else {}
        self._note("opened", sid=sid, key=key, window=list(window), ack=[received, taken], **durable)

    def hand_out(self, gen: int, tickets: Sequence[str]) -> None:
        """`k` of a server."""
        self._note("tickets", gen=gen, tickets=list(tickets))

    def end(self, code: int, reason: str, now: float) -> None:
        """`x` of a client."""
        self._note("refusal", code=code, reason=reason)


def read(vector: dict[str, Any], side: str) -> list[dict[str, Any]]:
    """What one frame from `side` asks of a machine."""
    frame: Frame = base64.b64decode(vector["binary"]) if "binary" in vector else vector["frame"]
    recorder = Recorder(vector.get("max_auth", MAX_AUTH))
    carrier = NumberedCarrier(FakeCodec(Shape.DUPLEX), FakeLink(), 0.0)
    if side == "client":
        renewal = feed_server(cast("NumberedMachine", recorder), carrier, frame, 1.0)
        if renewal is not None:
            recorder.asked.append({"kind": "renewal", "auth": json.loads(renewal.auth)})
    else:
        feed_client(cast("ClientMachine", recorder), carrier, frame, 1.0)
    assert (recorder.contact, carrier.last_received) == (1.0, 1.0)  # any frame is a sign of life
    return recorder.asked


def sides(vector: dict[str, Any]) -> list[str]:
    """Who says it."""
    return ["client", "server"] if vector["from"] == "both" else [vector["from"]]


# -- frames.json -----------------------------------------------------------------------------------------------------


@vectors("frames.json")
def test_frames_are_read(vector: dict[str, Any]) -> None:
    for side in sides(vector):
        if "error" in vector:
            with pytest.raises(RemoteProtocolError) as caught:
                read(vector, side)
            assert caught.value.close_code == vector["error"]
            continue
        means = dict(vector["means"])
        if means["kind"] in ("ignored", "pong", "end", "wanted", "renewed"):  # asks nothing of a machine
            assert read(vector, side) == []
        elif means["kind"] == "go_away":
            assert read(vector, side) == [{"kind": "go_away"}]
        else:
            assert read(vector, side) == [means]


def written(codec: NativeCodec, means: dict[str, Any]) -> object:
    """The frame that says this."""
    match means:
        case {"kind": "text", "text": text}:
            return codec.item(Outgoing.message(text))
        case {"kind": "binary", "base64": data}:
            return codec.item(Outgoing.message(base64.b64decode(data)))
        case {"kind": "dropped", "count": count}:
            return codec.item(Outgoing.dropped(count))
        case {"kind": "close", "code": code, "reason": reason}:
            return codec.item(Outgoing.close(code, reason))
        case {"kind": "room_text", "room": room, "cursor": cursor, "text": text}:
            return codec.item(RoomItem(room, cursor, Outgoing.message(text)))
        case {"kind": "room_binary", "room": room, "cursor": cursor, "base64": data}:
            return codec.item(RoomItem(room, cursor, Outgoing.message(base64.b64decode(data))))
        case {"kind": "position" | "gap", "room": room, "cursor": cursor}:
            return codec.item(RoomNote(room, cursor, means.get("missing")))
        case {"kind": "ack", "received": received, "taken": taken}:
            return codec.ack(received, taken)
        case {"kind": "attached", "received": received, "taken": taken}:
            return codec.attach_answer(received, taken)
        case {"kind": "number", "number": number}:
            return codec.number(number)
        case {"kind": "ping", "payload": ""}:
            return codec.ping()
        case {"kind": "pong", "payload": payload}:
            return codec.pong(payload)
        case {"kind": "end", "reason": reason}:
            return codec.end_of_carrier(reason)
        case {"kind": "go_away", "delay": value} | {"kind": "going", "last": value}:
            return codec.go_away(value)
        case {"kind": "refusal", "code": code, "scope": scope, "received": received, "reason": reason}:
            return codec.abrupt(code, scope, received, reason)
    pytest.fail(f"nothing writes {means}")


def quoted(part: object) -> str:
    """What is in a frame laid for a batch."""
    assert isinstance(part, bytes)
    return cast("str", json.loads(part))


@vectors("frames.json", canonical=True)
def test_frames_are_written(vector: dict[str, Any]) -> None:
    if "binary" in vector:
        assert written(WEBSOCKET, vector["means"]) == base64.b64decode(vector["binary"])
    else:
        assert quoted(written(POLL, vector["means"])) == vector["frame"]
        if vector["means"]["kind"] != "binary":
            assert written(WEBSOCKET, vector["means"]) == vector["frame"]


# -- rooms.json ------------------------------------------------------------------------------------------------------


@vectors("rooms.json")
def test_messages_of_rooms_are_read(vector: dict[str, Any]) -> None:
    test_frames_are_read(vector)


@vectors("rooms.json", canonical=True)
def test_messages_of_rooms_are_written(vector: dict[str, Any]) -> None:
    """The same on all carriers: a WebSocket has no binary message that says a room, too."""
    assert quoted(written(POLL, vector["means"])) == vector["frame"]
    assert written(WEBSOCKET, vector["means"]) == vector["frame"]


@vectors("rooms.json")
def test_a_server_knows_no_messages_of_rooms(vector: dict[str, Any]) -> None:
    assert read(vector, "client") == []


# -- batches.json ----------------------------------------------------------------------------------------------------


@vectors("batches.json")
@pytest.mark.parametrize("pieces", ["whole", "bytes"])
def test_batches_are_read(vector: dict[str, Any], pieces: str) -> None:
    data = base64.b64decode(vector["base64"]) if "base64" in vector else vector["body"].encode()

    def read_batch() -> list[Frame]:
        decoder = LongPolling().decoder(vector.get("max_frames", 1000), vector.get("max_bytes", 100_000))
        assert isinstance(decoder, BatchDecoder)
        size = len(data) if pieces == "whole" else 1
        frames: list[Frame] = []
        for start in range(0, len(data), size):
            frames += decoder.feed(data[start : start + size])
        return frames + decoder.end()

    if "error" in vector:
        with pytest.raises(RemoteProtocolError) as caught:
            read_batch()
        assert caught.value.close_code == vector["error"]
    else:
        assert read_batch() == vector["frames"]


@vectors("batches.json", canonical=True)
def test_batches_are_written(vector: dict[str, Any]) -> None:
    transport = LongPolling()
    (body,) = transport.wrap([transport.frame(frame) for frame in vector["frames"]])
    assert isinstance(body, bytes)
    assert b"\n" not in body
    assert json.loads(body) == vector["frames"]


# -- opens.json ------------------------------------------------------------------------------------------------------


def head(vector: dict[str, Any]) -> Open | RequestHead:
    """The head that a frame of a client is."""
    return parse_head(vector["frame"], vector.get("max_auth", MAX_AUTH))


def head_means(head: Open | RequestHead) -> dict[str, Any]:
    """A head in the words of the vectors."""
    if isinstance(head, Open):
        return {
            "kind": "open",
            "nonce": head.nonce,
            "gen": head.gen,
            "window": list(head.window),
            "transports": list(head.transports),
            "auth": None if head.auth is None else json.loads(head.auth),
            **({} if head.rooms is None else {"rooms": head.rooms}),
        }
    fields = {"sid": head.sid, "received": head.received, "taken": head.taken, "first": head.first, "proof": head.proof}
    return {"kind": "attach", "gen": head.gen, **fields} if head.gen else {"kind": "uplink", **fields}


@vectors("opens.json")
def test_opens_are_read(vector: dict[str, Any]) -> None:
    if "error" in vector:
        with pytest.raises(RemoteProtocolError) as caught:
            head(vector) if vector["from"] == "client" else read(vector, "server")
        assert caught.value.close_code == vector["error"]
        return
    means = vector["means"]
    if vector["from"] == "client":
        assert head_means(head(vector)) == means
        return
    durable = {name: means[name] for name in ("tenure",) if name in means}
    asked = {"kind": "opened", **{name: means[name] for name in ("sid", "key", "window", "ack")}, **durable}
    assert read(vector, "server") == [asked]
    opened = Opened.parse(vector["frame"][1:])
    for name, value in opened._asdict().items():
        if name == "tenure":
            assert value == means.get(name, "")
        elif name != "transports":
            assert (list(value) if isinstance(value, tuple) else value) == means[name]
    assert list(opened.transports) == means["transports"]


@vectors("opens.json", canonical=True)
def test_opens_are_written(vector: dict[str, Any]) -> None:
    means = vector["means"]
    if vector["from"] == "client":
        frame = open_frame(
            means["nonce"],
            means["gen"],
            Window(*means["window"]),
            means["transports"],
            means.get("auth"),
            rooms=means.get("rooms"),
        )
    else:
        config = Config(
            max_queue=means["window"][0],
            max_queue_size=means["window"][1],
            max_size=means["max_size"],
            max_batch=means["max_batch"][0],
            ping_interval=means["ping_interval"],
            ping_timeout=means["ping_timeout"],
            resume_window=means["resume_window"],
            poll_interval=tuple(means["poll_interval"]),
        )
        assert config.max_body == means["max_batch"][1]
        machine = NumberedMachine(config, Window(1, 1), Diary(), 0.0, sid=means["sid"], key=means["key"])
        frame = opened_frame(machine, means["transport"], json.dumps(means["transports"]), *means["ack"])
    assert frame[0] == "o"
    assert json.loads(frame[1:]) == json.loads(vector["frame"][1:])


# -- attaches.json ---------------------------------------------------------------------------------------------------


@vectors("attaches.json")
def test_attaches_are_read(vector: dict[str, Any]) -> None:
    if "error" in vector:
        with pytest.raises(RemoteProtocolError) as caught:
            parse_head(vector["frame"]) if vector["from"] == "client" else read(vector, "server")
        assert caught.value.close_code == vector["error"]
    elif vector["from"] == "client":
        assert head_means(parse_head(vector["frame"])) == vector["means"]
    else:
        assert read(vector, "server") == [vector["means"]]


@vectors("attaches.json", canonical=True)
def test_attaches_are_written(vector: dict[str, Any]) -> None:
    fields = dict(vector["means"])
    kind = fields.pop("kind")
    if kind == "attach":
        assert attach_frame(Attach(**fields)) == vector["frame"]
    elif kind == "uplink":
        assert [quoted(part) for part in uplink_frames(POLL, Uplink(**fields, items=[], going=None))] == [
            vector["frame"]
        ]
    else:
        assert written(WEBSOCKET, vector["means"]) == vector["frame"]


# -- refusals.json ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vector", [vector for vector in load("refusals.json") if "coding" not in vector], ids=named)
def test_refusals_are_read(vector: dict[str, Any]) -> None:
    if "error" in vector:
        with pytest.raises(RemoteProtocolError) as caught:
            parse_refusal(vector["frame"])
        assert caught.value.close_code == vector["error"]
        with pytest.raises(RemoteProtocolError):
            read(vector, "client")
        return
    means = vector["means"]
    refusal = parse_refusal(vector["frame"])
    assert means == {
        "kind": "refusal",
        "code": refusal.code,
        "scope": refusal.scope,
        "received": refusal.received,
        "reason": refusal.reason,
    }
    if "http" in vector:
        assert refusal.http_status == vector["http"]
    if vector["from"] == "client":
        assert read(vector, "client") == [{"kind": "refusal", "code": means["code"], "reason": means["reason"]}]


@vectors("refusals.json", canonical=True)
def test_refusals_are_written(vector: dict[str, Any]) -> None:
    means = vector["means"]
    refusal = Refusal(means["code"], means["reason"], scope=means["scope"], received=means["received"])
    assert refusal_frame(refusal) == vector["frame"]
    assert quoted(written(POLL, means)) == vector["frame"]


# -- streams -----------------------------------------------------------------------------------------------------------


def stream_body(vector: dict[str, Any]) -> bytes:
    """The bytes of a stream's body."""
    return base64.b64decode(vector["base64"]) if "base64" in vector else str(vector["body"]).encode()


@pytest.mark.parametrize("size", [1, 3, 1000, 1 << 20])
@vectors("streams.json")
def test_streams_are_read(vector: dict[str, Any], size: int) -> None:
    decoder = TRANSPORTS[vector["transport"]].decoder(1000, 1_000_000)
    body = stream_body(vector)

    def read() -> list[Frame]:
        frames: list[Frame] = []
        for start in range(0, len(body), size):
            frames += decoder.feed(body[start : start + size])
        return frames + decoder.end()

    if "error" in vector:
        with pytest.raises(RemoteProtocolError) as caught:
            read()
        assert caught.value.close_code == vector["error"]
    else:
        assert read() == vector["frames"]


@vectors("streams.json", canonical=True)
def test_streams_are_written(vector: dict[str, Any]) -> None:
    transport = TRANSPORTS[vector["transport"]]
    body = transport.head(Facts(callback=vector.get("callback", ""))).prelude
    decoder = transport.decoder(1000, 1_000_000)
    decoder.feed(body)
    # A batch ends where a piece of the body, read on its own, brings frames.
    rest = stream_body(vector).removeprefix(body)
    for end in range(len(rest)):
        frames = decoder.feed(rest[end : end + 1])
        if frames:
            for piece in transport.wrap([transport.frame(frame) for frame in frames]):
                assert isinstance(piece, bytes)
                body += piece
    assert body + transport.tail() == stream_body(vector)


# -- scripts -----------------------------------------------------------------------------------------------------------

SCRIPTED: dict[str, Transport] = {"jsonp": TRANSPORTS["jsonp"], "form": Form(LongPolling())}


@vectors("scripts.json")
def test_scripts_and_forms_are_read(vector: dict[str, Any]) -> None:
    def read() -> object:
        if vector["from"] == "server":
            decoder = SCRIPTED[vector["transport"]].decoder(1000, 1_000_000)
            return decoder.feed(stream_body(vector)) + decoder.end()
        batch, callback = (value or b"" for value in parse_fields(stream_body(vector), "batch", "callback"))
        return {"batch": batch.decode(), "callback": check_callback(callback.decode())}

    if "error" in vector:
        with pytest.raises((RemoteProtocolError, LocalProtocolError)):
            read()
    else:
        assert read() == vector.get("frames", vector.get("fields"))


@vectors("scripts.json", canonical=True)
def test_scripts_are_written(vector: dict[str, Any]) -> None:
    transport = SCRIPTED[vector["transport"]]
    (batch,) = transport.wrap([transport.frame(frame) for frame in vector["frames"]])
    assert isinstance(batch, bytes)
    body = transport.head(Facts(callback=vector["callback"])).prelude + batch + transport.tail()
    assert body == stream_body(vector)
