"""Every example runs: those in examples/, and those of the README."""

from __future__ import annotations

import importlib.util
import re
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from realtime.testing import Clients, serve

from .patience import within

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def load(name: str) -> Any:
    """An example as a fresh module."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", ROOT / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
async def client() -> AsyncIterator[Clients]:
    async with Clients() as clients:
        yield clients


def test_every_example_has_a_test() -> None:
    assert {path.stem for path in (ROOT / "examples").glob("*.py")} == {"echo", "chat"}


async def test_echo(client: Clients) -> None:
    session = await client(load("echo").make_app(), "/realtime/echo")
    await session.send("hello")
    assert await session.receive() == "hello"


async def test_chat(client: Clients) -> None:
    app = load("chat").make_app()
    ada = await client(app, "/realtime/chat?name=Ada")
    assert await ada.receive() == "* Ada has joined"
    grace = await client(app, "/realtime/chat?name=Grace", transports=["polling"])
    assert await ada.receive() == await grace.receive() == "* Grace has joined"
    await grace.send("hello")
    assert await ada.receive() == await grace.receive() == "Grace: hello"
    await grace.close()
    assert await ada.receive() == "* Grace has left"


def blocks(language: str) -> list[str]:
    """The code blocks of the README in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


async def test_the_readme(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    plugin, python_client, fixture = blocks("python")
    apps: list[web.Application] = []
    monkeypatch.setattr(web, "run_app", apps.append)
    names: dict[str, Any] = {}
    exec(plugin, names)
    async with serve(apps[0]) as server:
        code = python_client.replace("http://localhost:8080", str(server.make_url("/")).rstrip("/"))
        # The client prints for as long as it is connected: until the first message is printed.
        code = code.replace("        print(message)", "        print(message)\n        break")
        exec(f"async def talk():\n{textwrap.indent(code, '    ')}", names)
        async with within():
            await names["talk"]()
    assert capsys.readouterr().out == "hello\n"
    apps.clear()
    names = {}
    exec(plugin, names)
    names["make_app"] = lambda: apps[0]
    exec(fixture, names)
    async with Clients() as clients, within():
        await names["test_chat"](clients)


def test_the_commands_of_the_readme_are_the_targets_of_make() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    commands = re.findall(r"^make (\w+)", README, re.MULTILINE)
    assert commands == ["demo", "test"]
    for command in commands:
        assert re.search(rf"^{command}:", makefile, re.MULTILINE)
