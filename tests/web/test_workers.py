"""Several processes are warned of at the start, and gunicorn runs an application as docs/deployment.md says."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from pathlib import Path

import aiohttp
import pytest

import realtime
from realtime.web.workers import workers

from ..patience import within
from ..ports import port_for

ROOT = Path(__file__).parents[2]
GUNICORN = "/usr/bin/gunicorn"


@pytest.mark.parametrize(
    ("arguments", "environment", "number"),
    [
        ([GUNICORN, "app"], {}, 1),
        ([GUNICORN, "app", "-w", "4"], {}, 4),
        ([GUNICORN, "-w4", "app"], {}, 4),
        ([GUNICORN, "--workers", "3", "app"], {}, 3),
        ([GUNICORN, "--workers=3", "app"], {}, 3),
        ([GUNICORN, "-w", "4", "-w", "1", "app"], {}, 1),
        ([GUNICORN, "-w", "many", "app"], {}, 1),
        (["/x/gunicorn/__main__.py", "app", "-w", "2"], {}, 2),
        ([GUNICORN, "app"], {"WEB_CONCURRENCY": "5"}, 5),
        ([GUNICORN, "app", "-w", "1"], {"WEB_CONCURRENCY": "5"}, 1),
        ([GUNICORN, "app"], {"GUNICORN_CMD_ARGS": "--bind=:80 -w 2", "WEB_CONCURRENCY": "5"}, 2),
        ([GUNICORN, "app"], {"GUNICORN_CMD_ARGS": "'"}, 1),
        ([GUNICORN, "app"], {"WEB_CONCURRENCY": "²"}, 1),
        ([GUNICORN, "app", "--worker-class", "x"], {}, 1),
        (["app.py", "-w", "4"], {"WEB_CONCURRENCY": "5"}, 1),
        ([], {"WEB_CONCURRENCY": "5"}, 1),
    ],
)
def test_how_many(arguments: list[str], environment: dict[str, str], number: int) -> None:
    assert workers(arguments, environment) == number


APP = """
from aiohttp import web
import realtime

rt = realtime.Server()


@rt.endpoint("/echo")
async def echo(session):
    async for message in session:
        await session.send(message)


async def make_app():
    app = web.Application()
    realtime.setup(app, rt)
    return app
"""


@pytest.mark.skipif(sys.platform == "win32", reason="gunicorn needs fork()")
@pytest.mark.parametrize("number", [1, 2])
async def test_gunicorn(tmp_path: Path, number: int) -> None:
    page = (ROOT / "docs" / "deployment.md").read_text("utf-8")
    (command,) = re.findall(r"^gunicorn (.*)$", page, re.MULTILINE)
    (tmp_path / "app.py").write_text(APP, "utf-8")
    port = port_for()
    command = command.replace("8080", str(port)).replace("--workers 1", f"--workers {number}")
    with (tmp_path / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gunicorn", *command.split(), "--log-level", "warning",
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        async with within("until gunicorn serves"):
            while True:
                assert process.returncode is None, (tmp_path / "log").read_text("utf-8")
                try:
                    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}/realtime/client.js"):
                        break
                except aiohttp.ClientConnectionError:
                    await asyncio.sleep(0.05)
            url = f"http://127.0.0.1:{port}/realtime/echo"
            async with realtime.connect(url, transports=["websocket"]) as session:
                await session.send("hello")
                assert await session.receive() == "hello"
    finally:
        if process.returncode is None:
            process.terminate()
        async with within("until gunicorn has ended"):
            await process.wait()
    said = (tmp_path / "log").read_text("utf-8")
    assert ("gunicorn was told to start 2 workers, but a session and a room live in one process" in said) is (
        number > 1
    )
    assert ("cluster=realtime.Cluster(…)" in said) is (number > 1)


def test_gunicorn_is_installed() -> None:
    assert sys.platform == "win32" or shutil.which("gunicorn", path=str(Path(sys.executable).parent))
