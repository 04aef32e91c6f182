"""An application whose events say all that they can: mypy --strict reads it, and pages are compiled against its types.

Wrong uses are marked for mypy, which finds each mark that is not needed.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal, NewType, NotRequired, TypedDict, assert_type

import msgspec
import pydantic
from aiohttp import web

import realtime

RoomName = NewType("RoomName", str)


class Auth(TypedDict):
    """What a client gives."""

    name: str
    token: NotRequired[str]


class Point(TypedDict):
    """The same to read and to write."""

    x: float
    y: float


class Line(TypedDict):
    """Lists may be read only where they are written, and no others are read."""

    points: list[Point]
    label: NotRequired[str]


class Color(enum.StrEnum):
    """It is written as its value."""

    RED = "red"
    BLUE = "blue"


@dataclass
class Order:
    """A class of ours that is made of what comes."""

    what: str
    colors: list[Color]
    count: int = 1
    notes: dict[str, str] = field(default_factory=dict)


class Seat(msgspec.Struct, forbid_unknown_fields=True):
    """One of msgspec's."""

    row: int
    picture: bytes | None = None


class User(pydantic.BaseModel):
    """One of pydantic's."""

    name: str
    friends: list[User] = []


rt = realtime.Server()
events = realtime.Events()
rt.endpoint("/chat")(events)
admin = events.namespace("/admin")
games = events.namespace(re.compile("/game-[0-9]+"))


@events.emits("message")
def said(name: str, text: str, colors: list[Color] | None = None) -> None:
    """Somebody has said something."""


@events.emits("line drawn")
def drawn(line: Line, picture: bytes) -> None: ...


@events.emits("confirm")
def confirm(question: str) -> bool:
    raise NotImplementedError


@events.on("connect")
async def connect(session: realtime.EventSession, auth: Auth) -> None:
    await session.emit(*said(auth["name"], "hello"))


@events.on("disconnect")
async def disconnect(session: realtime.EventSession, reason: str) -> None: ...


@events.on("message")
async def message(session: realtime.EventSession, text: str, how: Literal["loud", "low"] = "low") -> str:
    await events.room("lobby").emit(*said(session.data["name"], text), skip=session)
    return f"delivered {how}"


@events.on("draw")
def draw(session: realtime.EventSession, line: Line, *others: Line) -> Line | None:
    return line if others else None


@events.on("move", concurrent=4)
async def move(session: realtime.EventSession, to: tuple[float, float], room: RoomName | None = None) -> Point:
    return {"x": to[0], "y": to[1]}


@events.on("order")
async def order(session: realtime.EventSession, order: Order) -> tuple[int, Color]:
    if not await session.call(*confirm(f"{order.what}?")):
        raise realtime.EventError("cancelled", code="cancelled")
    return order.count, Color.RED


@events.on("book")
async def book(session: realtime.EventSession, seat: Seat, by: User) -> None: ...


@events.on("upload")
async def upload(session: realtime.EventSession, name: str, data: bytes) -> bytes:
    return data


@events.on("anything")
async def anything(session: realtime.EventSession, what: Any, untold=None):  # type: ignore[no-untyped-def]
    return what


@admin.on("*")
async def everything(session: realtime.EventSession, event: str, *args: object) -> None: ...


@admin.on("stop")
def stop(session: realtime.EventSession, after: float) -> Awaitable[bool]:
    raise NotImplementedError


@admin.use
async def logged(session: realtime.EventSession, event: str, args: list[Any], go: Callable[[], Awaitable[Any]]) -> Any:
    return await go()


@games.on("play")
async def play(session: realtime.EventSession, card: int) -> None: ...


def make_app() -> web.Application:
    """The application."""
    app = web.Application()
    realtime.setup(app, rt)
    return app


# -- what type checkers know -----------------------------------------------------------------------------------------


async def right(session: realtime.EventSession) -> None:
    """Handlers keep their types, and events that are declared have them."""
    assert_type(await message(session, "hello", "loud"), str)
    assert_type(draw(session, {"points": []}), Line | None)
    assert_type(await order(session, Order("tea", [])), tuple[int, Color])
    name, *arguments = said("ada", "hello", colors=[Color.RED])
    assert_type(name, str)
    assert_type(arguments, list[Any])
    await events.emit(*said(text="hello", name="ada"), skip=session, volatile=True)


async def wrong(session: realtime.EventSession) -> None:
    """Each is an error."""
    await message(session, 5)  # type: ignore[arg-type]
    await message(session, "hello", "silently")  # type: ignore[arg-type]
    await session.emit(*said("ada"))  # type: ignore[call-arg]
    await session.emit(*said("ada", 5))  # type: ignore[arg-type]
    await session.emit(*drawn({"points": [{"x": 1}]}, b""))  # type: ignore[typeddict-item]
    await session.call(*confirm(question=None))  # type: ignore[arg-type]
    events.emits("x")(5)  # type: ignore[arg-type]
