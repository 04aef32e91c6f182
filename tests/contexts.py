"""Loaded with `-p tests.contexts` beside pytest-cov: keeps apart what each file of tests covers (coverage's contexts).

pytest-cov's own `--cov-context=test` keeps apart each test, its setup and its teardown, and writes that down each time.
"""

from __future__ import annotations

import coverage
import hypothesis

_current = ""


def pytest_configure() -> None:
    """Examples are always the same, so that what they reach does not depend on chance; and few, since what is to be
    seen here is which lines they reach, and the tests have run with all of theirs."""
    hypothesis.settings.register_profile("covered", derandomize=True, deadline=None, database=None, max_examples=25)
    hypothesis.settings.load_profile("covered")


def pytest_runtest_logstart(nodeid: str) -> None:
    """A test begins, perhaps the first of another file. What no test runs, such as imports, has no context."""
    global _current
    path = nodeid.partition("::")[0]
    measuring = coverage.Coverage.current()
    if measuring is not None and path != _current:
        _current = path
        measuring.switch_context(path)
