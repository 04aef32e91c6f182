"""What others' tools say of the packages: pyright of the wheel's types, attw and publint of npm's package.

`make test` installs them (`.ci/clients`); where there is no Node, or no installed packages, these tests are skipped.
Each looks at what is published, unpacked elsewhere, not at this checkout. twine: tests/test_packaging.py.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.packages import installed
from tests.reference.page import public

HERE = Path(__file__).parent
CLIENT = HERE.parents[2] / "client-js"
TOOLS = HERE / "node_modules"
NODE = ("node", "--require", CLIENT / "test" / "patient.cjs")

pytestmark = pytest.mark.skipif(
    shutil.which("npm") is None or not TOOLS.is_dir(),
    reason="needs Node and the packages of this folder: sh .ci/clients",
)


def run(*command: str | Path, at: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A tool, once it has ended."""
    return subprocess.run(
        command,
        cwd=at,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


@functools.cache
def pack(folder: Path) -> Path:
    """What `npm publish` would send."""
    done = run("npm", "pack", "--silent", "--pack-destination", folder, at=CLIENT)
    assert done.returncode == 0, done.stderr
    return folder / done.stdout.split()[-1]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack(tmp_path_factory.mktemp("npm"))


def test_pyright_knows_the_types_of_the_package(tmp_path: Path) -> None:
    """Of all that has no underscore, inner modules included, 95 in 100; of what docs/python.md has, everything."""
    done = run(
        *(*NODE, TOOLS / "pyright" / "index.js", "--verifytypes", "realtime", "--ignoreexternal", "--outputjson"),
        at=tmp_path,
        PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",  # it asks the first Python there
        PYTHONPATH=str(installed()),
    )
    report = json.loads(done.stdout)["typeCompleteness"]
    assert report["pyTypedPath"] == str(installed() / "realtime" / "py.typed")
    missing = {
        symbol["name"]: " ".join(each["message"] for each in symbol["diagnostics"])
        for symbol in report["symbols"]
        if symbol["isExported"] and not symbol["isTypeKnown"]
    }
    assert report["completenessScore"] >= 0.95, "\n".join(f"{name}: {why}" for name, why in missing.items())
    owners = {f"{thing.__module__}.{thing.__qualname__}" for thing in public().values()}
    assert {name for name in missing if name in owners or name.rpartition(".")[0] in owners} == set()


def test_attw_finds_types_from_everywhere(package: Path) -> None:
    """Under Node's old and new resolution, from CommonJS and from modules, and in a bundler."""
    done = run(*NODE, TOOLS / "@arethetypeswrong" / "cli" / "dist" / "index.js", package, "--format", "json", at=HERE)
    report = json.loads(done.stdout)
    assert report["problems"] == {}
    assert set(report["analysis"]["entrypoints"]) == {".", "./events", "./webtransport", "./package.json"}
    assert done.returncode == 0, done.stderr


def test_publint_has_no_complaint(package: Path) -> None:
    done = run("node", TOOLS / "publint" / "src" / "cli.js", "run", package, "--strict", at=HERE)
    assert "All good!" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0
