"""Each pure module is fully covered, lines and branches, by its own test module alone.

All of these test modules run once, in one process, and what each of them covered is kept apart (contexts.py).
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import coverage
import pytest

ROOT = Path(__file__).parents[1]
LAYERS = ("core", "transports", "protocols")
PURE = [
    path.relative_to(ROOT / "realtime")
    for layer in LAYERS
    for path in sorted((ROOT / "realtime" / layer).rglob("*.py"))
    if path.name != "__init__.py"
]


def own_tests(module: Path) -> Path:
    """tests/core/test_outbox.py for core/outbox.py."""
    return Path("tests") / module.parent / f"test_{module.name}"


@pytest.mark.timeout(1200)
def test_pure_modules_are_covered_by_their_own_tests(tmp_path: Path) -> None:
    for module in PURE:
        assert (ROOT / own_tests(module)).exists(), f"{module} has no tests of its own: write {own_tests(module)}"
    # What this run was started with is not that one's affair.
    inherited = ("PYTEST", "COV_", "COVERAGE")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(inherited)}
    environment |= {"PYTHONPATH": str(ROOT), "COVERAGE_FILE": str(tmp_path / "coverage")}
    environment["COVERAGE_CORE"] = "ctrace"  # Python 3.14 would have another, which knows no contexts
    measure = [f"--cov=realtime/{layer}" for layer in LAYERS]
    options = [
        "--cov-branch",
        "-p",
        "tests.contexts",
        "--cov-report=",
        "-q",
        "-p",
        "no:cacheprovider",
        "-o",
        "addopts=",
    ]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *measure, *options, *(str(own_tests(module)) for module in PURE)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    measured = coverage.Coverage(data_file=tmp_path / "coverage", config_file=ROOT / "pyproject.toml")
    measured.load()
    missed = [report for module in PURE if (report := missing(module, measured))]
    assert not missed, "\n".join(missed)


def missing(module: Path, measured: coverage.Coverage) -> str:
    """What of a module its own tests have not covered, as a report; "" if there is nothing. Imports are everybody's."""
    report = io.StringIO()
    contexts = ["^$", f"^{re.escape(own_tests(module).as_posix())}$"]
    path = str(ROOT / "realtime" / module)
    percent = measured.report([path], file=report, show_missing=True, contexts=contexts)
    return "" if percent == 100 else report.getvalue()
