"""docs/python.md has every public name, says what the docstrings say, and its examples run."""

from __future__ import annotations

import ast
import contextlib
import gc
import inspect
import io
from typing import Any

import pytest

from realtime.testing import Clients

from .patience import within
from .reference.examples import EXAMPLES, PRELUDE
from .reference.members import members
from .reference.page import PATH, TABLES, page, public

PAGE = PATH.read_text("utf-8")
CLASSES = {name: thing for name, thing in public().items() if inspect.isclass(thing)}


def test_every_public_name_has_an_example() -> None:
    assert set(EXAMPLES) == set(public())


@pytest.mark.parametrize("name", public())
def test_every_public_name_is_on_the_page(name: str) -> None:
    assert f"\n### {name}\n" in PAGE


def test_the_page_is_what_the_docstrings_say() -> None:
    assert page().splitlines() == PAGE.splitlines(), "docs/python.md is older than the docstrings: make reference"


@pytest.mark.parametrize("name", CLASSES)
def test_every_member_says_what_it_is(name: str) -> None:
    cls = CLASSES[name]
    tabled = getattr(cls, "__dataclass_fields__", {}) if cls.__name__ in TABLES else {}  # in docs/configuration.md
    told = "".join(each.__doc__ or "" for each in cls.__mro__ if each.__module__.startswith("realtime."))
    mute = [
        each.name for each in members(cls) if not each.doc and each.name not in tabled and f"`{each.name}`" not in told
    ]
    assert mute == [], "give them a docstring or a comment, or name them in that of the class"


@pytest.mark.parametrize("name", EXAMPLES)
async def test_an_example(name: str) -> None:
    space: dict[str, Any] = {"__name__": "example"}
    exec(compile(PRELUDE, "the beginning of docs/python.md", "exec"), space)
    async with within(), Clients() as client:
        server = await client.server(space["app"])
        url = server.make_url("/realtime")
        space |= {"host": url.host, "port": url.port, "base": str(url)}
        code = compile(EXAMPLES[name], f"example of {name}", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        with contextlib.redirect_stdout(io.StringIO()):
            running = eval(code, space)
            if running is not None:
                await running
    if name == "realtime.tune_gc":  # which ends with that nothing is frozen, and conftest.py had
        gc.collect()
        gc.freeze()
