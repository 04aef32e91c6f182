"""Supabase's client is imported as `realtime`, too: what is said when one of us is met and the other meant."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import realtime
from realtime import namesake

from .packages import installed

ADVICE = "pip uninstall realtime aiohttp-realtime"
# The beginning of theirs, which imports neighbours that ours does not have.
FOREIGN = '__version__ = "2.30.0"\n\nfrom . import foreigner\n'


@pytest.mark.parametrize("name", sorted(namesake.THEIRS))
def test_a_name_of_theirs_says_whose_it_is(name: str) -> None:
    assert name not in dir(realtime)
    with pytest.raises(ImportError, match=f"realtime.{name} is of Supabase's package") as error:
        exec(f"from realtime import {name}", {})
    assert ADVICE in str(error.value)
    with pytest.raises(ImportError, match="aiohttp-realtime"):
        getattr(realtime, name)


def test_another_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'realtime' has no attribute 'conect'") as error:
        realtime.conect  # type: ignore[attr-defined] # noqa: B018
    assert (error.value.name, error.value.obj) == ("conect", realtime)
    assert not hasattr(realtime, "nothing")
    with pytest.raises(ImportError, match="cannot import name 'conect' from 'realtime'"):
        exec("from realtime import conect", {})


@pytest.fixture
def overwritten(tmp_path: Path) -> Path:
    """The wheel's content, with another `__init__.py` on top, as pip leaves it."""
    shutil.copytree(installed(), tmp_path, dirs_exist_ok=True)
    (tmp_path / "realtime" / "__init__.py").write_text(FOREIGN, encoding="utf-8")
    (tmp_path / "realtime" / "foreigner.py").write_text("", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("command", [["doctor", "http://127.0.0.1:1/x"], ["connect", "http://127.0.0.1:1/x"], ["demo"]])
def test_the_command_notices_that_another_package_is_in_its_place(overwritten: Path, command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "realtime", *command],
        cwd=overwritten,  # `python -m` looks there first
        env={**os.environ, "PYTHONPATH": str(overwritten)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"realtime: {overwritten / 'realtime' / '__init__.py'} is not of aiohttp-realtime")
    assert ADVICE in done.stderr
    assert "Traceback" not in done.stderr


def test_the_doctor_says_that_both_are_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert namesake.foreign() is None
    monkeypatch.setattr(namesake, "version", lambda name: {"realtime": "2.30.0"}[name])
    said = namesake.clash()
    assert said is not None
    assert said.startswith("Supabase's package realtime 2.30.0 is installed here as well")
    assert ADVICE in said


def test_the_doctor_says_nothing_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(namesake, "version", none)
    assert namesake.clash() is None
