"""Each pure module is fully covered, lines and branches, by its own test module alone."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import coverage
import pytest

ROOT = Path(__file__).parents[1]
PURE = [
    path.relative_to(ROOT / "realtime")
    for layer in ("core", "transports", "protocols")
    for path in sorted((ROOT / "realtime" / layer).rglob("*.py"))
    if path.name != "__init__.py"
]


def own_tests(module: Path) -> Path:
    """tests/core/test_outbox.py for core/outbox.py."""
    return Path("tests") / module.parent / f"test_{module.name}"


@pytest.mark.parametrize("module", PURE, ids=str)
def test_a_pure_module_is_covered_by_its_own_tests(module: Path, tmp_path: Path) -> None:
    tests = own_tests(module)
    assert (ROOT / tests).exists(), f"{module} has no tests of its own: write {tests}"
    # What this run was started with is not that one's affair.
    inherited = ("PYTEST", "COV_", "COVERAGE")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(inherited)}
    environment["PYTHONPATH"] = str(ROOT)
    data = tmp_path / "coverage"
    source = f"realtime/{module.as_posix()}"
    measure = ["-m", "coverage", "run", "--branch", f"--data-file={data}", f"--include={source}"]
    options = ["-q", "-p", "no:cacheprovider", "-o", "addopts="]
    run = subprocess.run(
        [sys.executable, *measure, "-m", "pytest", *options, str(tests)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    measured = coverage.Coverage(data_file=data, config_file=ROOT / "pyproject.toml", include=[str(ROOT / source)])
    measured.load()
    report = io.StringIO()
    percent = measured.report(file=report, show_missing=True)
    assert percent == 100, report.getvalue()
