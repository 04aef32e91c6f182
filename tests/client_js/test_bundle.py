"""The JavaScript client: its own tests, and what has to agree with the Python package.

`make test` installs what this needs (`.ci/node`). Where there is no Node, or no installed packages, these are skipped.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "client-js"

needs_node = pytest.mark.skipif(
    shutil.which("npm") is None or not (CLIENT / "node_modules").is_dir(),
    reason="needs Node 18 and the packages of client-js: sh .ci/node",
)


def npm(script: str) -> None:
    """Runs a script of package.json; what it says is in the report if it fails."""
    done = subprocess.run(["npm", "run", "--silent", script], cwd=CLIENT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_node
def test_what_is_shipped_passes_its_gates() -> None:
    npm("check")


@needs_node
def test_the_source_passes_its_tests() -> None:
    npm("unit")


def test_the_versions_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    package = json.loads((CLIENT / "package.json").read_text(encoding="utf-8"))
    lock = json.loads((CLIENT / "package-lock.json").read_text(encoding="utf-8"))
    assert package["name"] == project["name"]
    assert package["version"] == lock["version"] == lock["packages"][""]["version"] == project["version"]
    assert package["license"] == project["license"]


def test_the_licences_agree() -> None:
    assert (CLIENT / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_development_packages_are_pinned_and_come_from_anywhere() -> None:
    package = json.loads((CLIENT / "package.json").read_text(encoding="utf-8"))
    assert "dependencies" not in package
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in package["devDependencies"].values())
    lock = json.loads((CLIENT / "package-lock.json").read_text(encoding="utf-8"))
    for path, entry in lock["packages"].items():
        assert "resolved" not in entry, f"{path} names a registry; .npmrc has omit-lockfile-registry-resolved"
        assert not path or "integrity" in entry, path


def test_the_vectors_have_no_file_that_nobody_reads() -> None:
    """A new file of vectors is for both languages, where both speak it."""
    server = {"recovery", "stomp"}  # of others' clients, and of what this one does not speak
    tests = "".join(path.read_text(encoding="utf-8") for path in (CLIENT / "test").glob("*.test.js"))
    every = {path.stem: path for path in (ROOT / "tests" / "vectors").glob("*.json")}
    assert server <= every.keys()
    for path in (path for name, path in every.items() if name not in server):
        assert f'"{path.stem}"' in tests, path.name
