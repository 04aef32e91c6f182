"""The sequence diagrams of docs/architecture.md are played: every function that they name is called, in their order."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest

import realtime
from realtime.testing import VirtualClock

from .web.place import eventually, serving

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "realtime"
TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PICTURE = re.compile(r"<!-- picture: (\w+) -->\n```mermaid\n(.*?)\n```\n<!-- /picture -->", re.DOTALL)
# By name: the functions along the way, each as file:function.
PICTURES = {
    name: re.findall(r"->>\w+: (\S+\.py:[\w.]+)$", picture, re.MULTILINE) for name, picture in PICTURE.findall(TEXT)
}


@contextmanager
def calls() -> Iterator[list[str]]:
    """The functions of realtime/ that are called meanwhile, in order, as file:function."""
    seen: list[str] = []
    before = sys.getprofile()

    def note(frame: FrameType, event: str, argument: object) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(PACKAGE):
            seen.append(f"{path.relative_to(PACKAGE).as_posix()}:{frame.f_code.co_qualname}")

    sys.setprofile(note)
    try:
        yield seen
    finally:
        sys.setprofile(before)


def missed(way: list[str], seen: list[str]) -> list[str]:
    """What is left of a way when its steps are looked for in the calls, in order."""
    left = list(way)
    for call in seen:
        if left and call == left[0]:
            del left[0]
    return left


def test_the_pictures_are_there() -> None:
    assert set(PICTURES) == {"down", "up", "open", "lost"}
    for name, picture in PICTURE.findall(TEXT):
        assert picture.count("->>") == len(PICTURES[name]) > 7


@pytest.mark.parametrize("step", sorted({step for way in PICTURES.values() for step in way}))
def test_every_function_in_the_pictures_is_there(step: str) -> None:
    file, _, path = step.partition(":")
    found: object = importlib.import_module("realtime." + file.removesuffix(".py").replace("/", "."))
    for name in path.split("."):
        assert name in vars(found), step
        found = vars(found)[name]
    assert callable(found)


async def test_a_session_opens_as_the_picture_says() -> None:
    async with serving() as place:
        peer = place.websocket(auth="first frame")
        with calls() as seen:
            await peer.open()
        assert missed(PICTURES["open"], seen) == []


async def test_messages_travel_as_the_pictures_say() -> None:
    async with serving() as place:
        peer = place.websocket()
        await peer.open()
        await peer.echo("the handler waits")
        with calls() as seen:
            await peer.echo("one")
        # The loop in web/ and the handler's `async for` are entered before, and go on here.
        assert missed(PICTURES["up"], ["web/websocket.py:read", *seen]) == []
        assert missed(PICTURES["down"], seen) == []


async def test_a_lost_carrier_is_as_the_picture_says() -> None:
    way = PICTURES["lost"]
    again = way.index("gates/native.py:NativeGate.attach")
    sweep = way.index("runtime.py:Runtime._sweep")
    async with serving(clock=VirtualClock(), resume_window=60) as place:
        peer, session = await place.parked("websocket")
        with calls() as seen:
            await peer.drop()
            await eventually(lambda: session.state is realtime.State.DETACHED)
        assert missed(way[:again], seen) == []
        await session.send("while away")
        await session.send("and more")  # one alone would take the short way
        with calls() as seen:
            await peer.resume()
            assert await peer.news() == "mwhile away"
        assert missed(way[again:sweep], seen) == []
        await peer.drop()
        await eventually(lambda: session.state is realtime.State.DETACHED)
        with calls() as seen:
            place.tick(61)
        assert missed(way[sweep:], seen) == []
        assert session.close_code == 4410
