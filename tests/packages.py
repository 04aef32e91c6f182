"""What is published, as tests use it: the wheel and the source archive, built from this checkout, once a process."""

from __future__ import annotations

import compileall
import functools
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import NamedTuple

__all__ = ["Built", "built", "installed", "unpacked"]

ROOT = Path(__file__).parents[1]
_FOLDERS: list[tempfile.TemporaryDirectory[str]] = []  # until the process ends


class Built(NamedTuple):
    """What hatchling made."""

    wheel: Path
    sdist: Path


def _folder() -> Path:
    _FOLDERS.append(tempfile.TemporaryDirectory(prefix="realtime-"))
    return Path(_FOLDERS[-1].name)


@functools.cache
def built() -> Built:
    """Builds both (two seconds)."""
    into = _folder()
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", into],
        cwd=ROOT,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,), (sdist,) = into.glob("*.whl"), into.glob("*.tar.gz")
    return Built(wheel, sdist)


@functools.cache
def installed() -> Path:
    """The folder into which the wheel is unpacked, to stand first on PYTHONPATH: a wheel of Python alone is a zip."""
    into = _folder()
    with zipfile.ZipFile(built().wheel) as wheel:
        wheel.extractall(into)
    compileall.compile_dir(into, quiet=1)  # as an installer does: each program that a test starts would
    return into


@functools.cache
def unpacked() -> Path:
    """The folder of the source archive's content."""
    into = _folder()
    with tarfile.open(built().sdist) as sdist:
        sdist.extractall(into, filter="data")
    (root,) = into.iterdir()
    return root
