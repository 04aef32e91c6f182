"""A record as text, for stores: JSON, with what has its default left out."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import Any

from ..errors import LocalProtocolError
from ..frames import Dropped
from ..rooms import Position
from .record import Arrived, Close, Item, Message, Publish, Record, Stage, Tenure

__all__ = ["read", "written"]

_PLAIN = ("opening", "used", "gen", "sent", "received", "taken", "begun", "redelivered", "starts", "attempts", "data")


def written(record: Record) -> str:
    """The record as text."""
    fields: dict[str, Any] = {
        "id": record.id,
        "owner": record.owner,
        "tenures": record.tenures,
        "before": record.before,
        "stage": record.stage.value,
    }
    defaults = record._field_defaults
    fields |= {name: value for name in _PLAIN if (value := getattr(record, name)) != defaults[name]}
    several: dict[str, list[Any]] = {
        "outbox": [_item(item) for item in record.outbox],
        "inbox": [_item(item) for item in record.inbox],
        "rooms": [[room, position.cursor] for room, position in record.rooms],
        "infos": [[*info] for info in record.infos],
        "cursors": [[*cursor] for cursor in record.cursors],
        "publishes": [[publish.id, publish.room, _item(publish.data)] for publish in record.publishes],
        "end": [] if record.end is None else [*record.end],
        "closed": [] if record.closed is None else [*record.closed],
    }
    fields |= {name: value for name, value in several.items() if value}
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))


def read(text: str) -> Record:
    """The record of a text. Raises ValueError for what is none."""
    try:
        fields = json.loads(text)
        return Record(
            fields["id"],
            fields["owner"],
            tuple(Tenure(*tenure) for tenure in fields["tenures"]),
            tuple(fields["before"]),
            stage=Stage(fields["stage"]),
            end=_close(fields, "end"),
            outbox=tuple(_read(item) for item in fields.get("outbox", ())),
            inbox=tuple(_arrived(item) for item in fields.get("inbox", ())),
            closed=_close(fields, "closed"),
            rooms=tuple((room, Position.parse(cursor)) for room, cursor in fields.get("rooms", ())),
            infos=tuple((room, info) for room, info in fields.get("infos", ())),
            cursors=tuple((room, cursor) for room, cursor in fields.get("cursors", ())),
            publishes=tuple(Publish(id, room, _message(item)) for id, room, item in fields.get("publishes", ())),
            **{name: fields[name] for name in _PLAIN if name in fields},
        )
    except (LookupError, TypeError, ValueError, RecursionError, LocalProtocolError) as error:
        raise ValueError(f"this is no record of a durable session: {error!r}") from None


def _item(item: Item) -> list[Any]:
    if isinstance(item, str):
        return ["m", item]
    if isinstance(item, bytes):
        return ["b", b64encode(item).decode()]
    if isinstance(item, Dropped):
        return ["d", item.count]
    return ["c", *item]


def _read(item: list[Any]) -> Item:
    kind, *rest = item
    if kind == "d":
        return Dropped(*rest)
    return Close(*rest) if kind == "c" else _message(item)


def _arrived(item: list[Any]) -> Arrived:
    return Dropped(*item[1:]) if item[0] == "d" else _message(item)


def _message(item: list[Any]) -> Message:
    kind, data = item
    if kind not in ("m", "b"):
        raise ValueError(f"no message: {kind!r}")
    return str(data) if kind == "m" else b64decode(data, validate=True)


def _close(fields: dict[str, Any], name: str) -> Close | None:
    return Close(*fields[name]) if name in fields else None
