"""The README as a newcomer follows it: its files, as they stand, run by the wheel that is built from here.

Only ports are changed. Every code block is named in BLOCKS, so that none is left out.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from realtime.demo import make_app
from realtime.testing import Clients

from .packages import installed
from .patience import within
from .ports import port_for

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
# Language, and the file that the sentence above names (or what tests it).
BLOCKS = [
    ("sh", "pip"),
    ("python", "app.py"),
    ("html", "page.html"),
    ("python", "talk.py"),
    ("ini", "pytest.ini"),
    ("python", "test_app.py"),
    ("sh", "commands"),
    ("sh", "make"),
]


def blocks() -> dict[str, str]:
    """The code blocks of the README by name."""
    found: list[tuple[str, str]] = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert [language for language, _ in found] == [language for language, _ in BLOCKS]
    return {name: text for (_, name), (_, text) in zip(BLOCKS, found, strict=True)}


def environment() -> dict[str, str]:
    """That of a process which finds the wheel's content, and nothing of this checkout."""
    return {**os.environ, "PYTHONPATH": str(installed()), "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}


async def run(*command: str | Path, at: Path, given: bytes = b"") -> bytes:
    """What a command prints. Fails when it does."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=at,
        env=environment(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with within(f"until {command} has ended"):
            out, err = await process.communicate(given)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, (out + err).decode()
    return out


def write(folder: Path, port: int) -> None:
    """The README's files."""
    for name, text in blocks().items():
        if "." in name:
            assert f"`{name}`" in README
            (folder / name).write_text(text.replace("8080", str(port)), encoding="utf-8")


@asynccontextmanager
async def application(folder: Path) -> AsyncIterator[None]:
    """`python app.py`, while it runs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "app.py", cwd=folder, env=environment(), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async with within("until app.py listens"):
            while b"Running on" not in (line := await process.stdout.readline()):
                assert line, "app.py has ended"
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def test_the_application_the_page_and_the_python_client(tmp_path: Path) -> None:
    port = port_for()
    write(tmp_path, port)
    async with application(tmp_path), aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
        async with http.get("/") as page:
            assert (page.status, page.content_type) == (200, "text/html")
            (script,) = re.findall(r'<script src="([^"]+)"', await page.text())
        async with http.get(script) as client:
            assert client.status == 200
            text = await client.text()
        assert "Realtime" in text
        (chart,) = re.findall("sourceMappingURL=(.+)$", text)
        async with http.get(f"/realtime/{chart}") as missing:  # not in the wheel
            assert missing.status == 404
            assert "npm" in await missing.text()
        assert await run(sys.executable, "talk.py", at=tmp_path) in (b"hello\n", b"hello\r\n")


async def test_the_tests(tmp_path: Path) -> None:
    write(tmp_path, port_for())
    said = await run(sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider", at=tmp_path)
    assert b"1 passed" in said


@pytest.mark.parametrize("line", [line for line in blocks()["commands"].splitlines() if "|" in line or "<" in line])
async def test_a_command_that_ends(tmp_path: Path, line: str) -> None:
    """With what its echo says, or a file."""
    command = line.partition("  #")[0]
    given = b"hello\n"
    if "<" in command:
        command, given = command.partition("<")[0], bytes(range(256)) * 10
    words = command.rpartition("|")[2].split()
    async with Clients() as clients:
        server = await clients.server(make_app())
        words[-1] = words[-1].replace("http://127.0.0.1:8080", str(server.make_url("")).rstrip("/"))
        assert await run(sys.executable, "-m", *words, at=tmp_path, given=given) == given


def test_the_other_commands_have_tests_of_their_own() -> None:
    """tests/cli: test_demo (also with several workers), test_connect, test_doctor and test_types."""
    commands = [line.split()[:2] for line in blocks()["commands"].splitlines() if "|" not in line and "<" not in line]
    assert [command for _, command in commands] == ["demo", "demo", "connect", "doctor", "types"]


def test_what_is_installed_is_what_is_published() -> None:
    (name,) = re.findall(r'^name = "(.*)"', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    assert blocks()["pip"] == f"pip install {name}\n"


def test_the_floors_are_those_of_the_project() -> None:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    (python,), (aiohttp_floor,) = re.findall('requires-python = ">=(.*)"', text), re.findall('"aiohttp>=(.*),<4"', text)
    assert f"Python {python} or newer, aiohttp {aiohttp_floor} or newer" in README


def test_the_commands_of_the_clone_are_targets_of_make() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    commands = re.findall(r"^make (\w+)", blocks()["make"], re.MULTILINE)
    assert commands == ["demo", "test"]
    for command in commands:
        assert re.search(rf"^{command}:", makefile, re.MULTILINE)
