"""What durable sessions add to the frames: the vectors of durable.json, read and written."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any, cast

import pytest

from realtime.core.client_machine import Attach, Uplink
from realtime.core.durable.record import Tenure
from realtime.core.errors import RemoteProtocolError
from realtime.core.frames import Outgoing, RoomItem, RoomMessage, RoomNote
from realtime.core.proof import Key
from realtime.protocols.native import RequestHead, attach_frame, parse_head, uplink_frames
from realtime.protocols.native.durable import (
    Held,
    Left,
    answered_frame,
    attached_frame,
    check_tenure,
    cursors_frame,
    is_tenure,
    left_frame,
    parse_attached,
    parse_cursors,
    parse_room_of,
    parse_taken,
    room_frame_of,
    taken_frame,
    with_tenure,
)

from .ends import MESSAGES

VECTORS = cast(
    "list[dict[str, Any]]",
    json.loads((Path(__file__).parents[2] / "vectors" / "durable.json").read_text("ascii")),
)


def read(sender: str, frame: str) -> dict[str, Any]:
    """What a frame means, as the vectors say it."""
    letter = frame[:1]
    if sender == "client" and letter in "ru":
        head = parse_head(frame)
        assert isinstance(head, RequestHead)
        check_tenure(head.tenure)
        fields = head._asdict()
        if letter == "u":
            del fields["gen"]
        return {"kind": "attach" if letter == "r" else "uplink"} | fields
    if letter in "ra":
        held = parse_attached(frame)
        means = {"kind": "attached" if letter == "r" else "answered"} | held._asdict()
        del means["began"]
        return means if held.began is None else means | {"began": list(held.began[1:])}
    if sender == "client":
        if letter == "f":
            return {"kind": "taken"} | parse_taken(frame)._asdict()
        return {"kind": "cursors"} | parse_cursors(frame)._asdict()
    said, size = parse_room_of(frame)
    if isinstance(said, Left):
        return {"kind": "left", "room": said.room}
    if isinstance(said, RoomMessage):
        place = {"room": said.room, "cursor": said.cursor}
        if isinstance(said.data, bytes):
            assert size == len(said.data)
            return {"kind": "room_binary"} | place | {"base64": base64.b64encode(said.data).decode()}
        assert size == len(said.data.encode())
        return {"kind": "room_text"} | place | {"text": said.data}
    place = {"room": said.room, "cursor": said.cursor}
    return {"kind": "position"} | place if said.missing is None else {"kind": "gap"} | place | {"missing": said.missing}


def write(means: dict[str, Any]) -> str:
    """The frame that means this."""
    kind = means["kind"]
    if kind in ("attached", "answered"):
        began = Tenure("", *means["began"]) if "began" in means else None
        held = Held(means["received"], means["taken"], means["tenure"], began)
        return attached_frame(held) if kind == "attached" else answered_frame(held)
    if kind == "attach":
        numbers = (means["gen"], means["received"], means["taken"], means["first"])
        return attach_frame(Attach(means["sid"], *numbers, Key(means["proof"]), means["tenure"]))
    if kind == "uplink":
        acks = (means["received"], means["taken"], means["first"])
        batch = Uplink(means["sid"], *acks, [], None, Key(means["proof"]), means["tenure"])
        return str(uplink_frames(MESSAGES, batch)[0])
    if kind == "cursors":
        return cursors_frame(means["gen"], means["rooms"])
    if kind == "taken":
        return taken_frame(means["gen"], means["number"])
    if kind == "left":
        return left_frame(means["room"])
    if kind in ("position", "gap"):
        return room_frame_of(RoomNote(means["room"], means["cursor"], means.get("missing")))
    data = means["text"] if kind == "room_text" else base64.b64decode(means["base64"])
    return room_frame_of(RoomItem(means["room"], means["cursor"], Outgoing.message(data)))


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_a_vector_is_read(vector: dict[str, Any]) -> None:
    if "error" in vector:
        with pytest.raises(RemoteProtocolError) as caught:
            read(vector["from"], vector["frame"])
        assert caught.value.close_code == vector["error"]
    else:
        assert read(vector["from"], vector["frame"]) == vector["means"]


@pytest.mark.parametrize("vector", [one for one in VECTORS if one.get("canonical")], ids=lambda vector: vector["name"])
def test_a_vector_is_written(vector: dict[str, Any]) -> None:
    assert write(vector["means"]) == vector["frame"]


def test_what_is_the_id_of_a_tenure() -> None:
    assert with_tenure("us1,0,0,1,K", "t1.4f-_") == "us1,0,0,1,K,t1.4f-_"
    assert is_tenure("t1.4f-_")
    assert not any(map(is_tenure, ("", "t 1", "t" * 65, "t1\n", 1, None)))


def test_names_of_vectors_are_unique() -> None:
    assert len({vector["name"] for vector in VECTORS}) == len(VECTORS) > 40
