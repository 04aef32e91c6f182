"""What is published: what is in the wheel and the source archive, and that each says what an index wants to know."""

from __future__ import annotations

import email
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from hatch_build import LINK, absolute

from .packages import built, installed, unpacked

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
REPOSITORY = PROJECT["tool"]["hatch"]["metadata"]["hooks"]["custom"]["repository"]
README = (ROOT / "README.md").read_text("utf-8")


def metadata() -> Message:
    """What the wheel says of itself."""
    (path,) = installed().glob("*.dist-info/METADATA")
    return email.message_from_bytes(path.read_bytes())


def test_the_wheel_has_the_package_and_the_client_and_no_source_maps() -> None:
    with zipfile.ZipFile(built().wheel) as wheel:
        names = set(wheel.namelist())
    assert {"realtime/py.typed", "realtime/static/realtime.js", "realtime/static/realtime.mjs"} <= names
    assert [name for name in names if name.endswith(".map")] == []
    top = {name.partition("/")[0] for name in names if ".dist-info/" not in name}
    assert top == {"realtime", "pytest_realtime.py"}
    package = {path.relative_to(ROOT).as_posix() for path in (ROOT / "realtime").rglob("*.py")}
    assert package <= names


def test_the_source_archive_can_run_the_tests() -> None:
    """Its own files: a file's tests that need nothing else, and one that looks at the whole of the sources."""
    root = unpacked()
    for name in ("Makefile", ".ci/run", ".ci/setup", "client-js/package-lock.json", "client-js/src/realtime.js"):
        assert (root / name).is_file(), name
    assert list(root.rglob("node_modules")) == []
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "tests/test_docs.py",
            "tests/core/test_frames.py",
        ],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_test_of_the_checkout_is_in_the_source_archive() -> None:
    def tests(root: Path) -> set[str]:
        found = (path.relative_to(root) for path in (root / "tests").rglob("test_*.py"))
        return {path.as_posix() for path in found if not {".lab", "node_modules"} & set(path.parts)}

    assert tests(ROOT) <= tests(unpacked())


def test_twine_has_no_complaint() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", *built()],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("address", ["", "https://git.example/realtime"])
def test_links_of_the_readme_outside_of_a_clone(address: str) -> None:
    text = absolute(README, address)
    assert LINK.search(README)
    assert not LINK.search(text)
    assert "[Deployment](" in README
    assert ("[Deployment](https://git.example/realtime/blob/main/docs/deployment.md)" in text) is bool(address)
    assert ("](https://git.example/realtime/raw/main/docs/demo.png)" in text) is bool(address)


def test_the_wheel_shows_the_readme_and_where_the_project_is() -> None:
    shown = metadata()
    assert shown["Description-Content-Type"] == "text/markdown"
    assert str(shown.get_payload()).strip() == absolute(README, REPOSITORY).strip()
    urls = dict(value.split(", ") for value in shown.get_all("Project-URL", []))
    assert urls.get("Repository", "") == REPOSITORY
    assert set(urls) == ({"Repository", "Documentation", "Changelog", "Issues"} if REPOSITORY else set())


def test_the_package_for_npm_names_the_same_repository_and_version() -> None:
    package = json.loads((ROOT / "client-js" / "package.json").read_text("utf-8"))
    assert package["version"] == PROJECT["project"]["version"]
    address = package.get("repository", {}).get("url", "").removeprefix("git+").removesuffix(".git")
    assert address == REPOSITORY


def test_what_is_tested_is_what_is_claimed() -> None:
    """The oldest aiohttp, here and in the README, is the one that `make floor` runs."""
    (floor,) = re.findall(r"aiohttp>=([\d.]+)", " ".join(PROJECT["project"]["dependencies"]))
    assert f'"aiohttp=={floor}"' in (ROOT / ".ci" / "floor").read_text("utf-8")
