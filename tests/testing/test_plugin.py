"""The pytest plugin, as another project's tests meet it."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = """
import realtime

rt = realtime.Server()

@rt.endpoint("/echo")
async def echo(session):
    async for message in session:
        await session.send(message)

{mark}
async def test_it(realtime_client):
    first = await realtime_client(rt, "/realtime/echo", transports=["polling"])
    second = await realtime_client(rt, "/realtime/echo", transports=["websocket"])
    await first.send("hello")
    assert await first.receive() == "hello"
    assert (first.transport, second.transport) == ("polling", "websocket")
    assert len(rt) == 2

def test_all_is_closed():
    assert len(rt) == 0
"""


def run(folder: Path, *arguments: str, before: str = "") -> tuple[int, str]:
    """Runs pytest in a folder with this plugin and pytest-asyncio only: exit code and output."""
    plugins = "" if before else "'-p', 'pytest_asyncio.plugin', "
    code = f"{before}\nimport sys, pytest\nsys.exit(pytest.main([{plugins}'-p', 'pytest_realtime', *sys.argv[1:]]))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    environment.pop("PYTEST_ADDOPTS", None)
    done = subprocess.run(
        [sys.executable, "-c", code, "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), *arguments, str(folder)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(("mode", "mark"), [("auto", ""), ("strict", "@pytest.mark.asyncio")])
def test_the_fixture_serves_and_connects_and_closes(tmp_path: Path, mode: str, mark: str) -> None:
    (tmp_path / "test_it.py").write_text("import pytest\n" + TESTS.format(mark=mark))
    options = (f"asyncio_mode={mode}", "asyncio_default_fixture_loop_scope=function")
    code, out = run(tmp_path, *(part for option in options for part in ("-o", option)), "-W", "error")
    assert code == 0, out
    assert "2 passed" in out


def test_without_pytest_aiohttp_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test_it(realtime_client): pass\ndef test_other(): pass\n")
    code, out = run(tmp_path, before="import sys; sys.modules['pytest_asyncio'] = None")
    assert code == 1
    assert "realtime_client needs pytest-aiohttp: pip install 'aiohttp-realtime[test]'" in out
    assert "1 passed, 1 error" in out
    assert "Traceback" not in out


def test_it_imports_nothing_of_the_package_before_a_test_asks(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("import sys\ndef test_it(): assert 'realtime' not in sys.modules\n")
    code, out = run(tmp_path)
    assert code == 0, out


def test_pytest_finds_it_where_realtime_is_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["pytest11"] == {"realtime": "pytest_realtime"}
    assert "pytest_realtime.py" in project["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]
