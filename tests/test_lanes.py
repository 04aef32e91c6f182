"""Which tests are given out together, and that what is begun first is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from .browsers.engines import ENGINES
from .lanes import APART, FIRST, MOST, OF_THE_WHEEL, PUBLISHED, lane, seconds

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("nodeid", "expected"),
    [
        ("tests/web/test_routes.py::test_it[chromium-x]", "tests/web/test_routes.py"),
        ("tests/browsers/test_transports.py::test_all_scenarios[chromium64-jsonp]", "chromium64"),
        ("tests/browsers/test_restart.py::test_it[websocket-firefox]", "firefox"),
        ("tests/browsers/test_demo.py::test_it[firefox]", "firefox"),
        ("tests/browsers/test_demo.py::test_it[chromium]", "chromium in the demo"),
        ("tests/test_readme.py::test_the_tests", "what is published"),
        ("tests/browsers/test_campaign.py::test_messages[12-True]", "tests/browsers/test_campaign.py"),
        ("tests/browsers/test_transports.py::test_every_gap_has_a_reason", "tests/browsers/test_transports.py"),
    ],
)
def test_what_goes_together(nodeid: str, expected: str) -> None:
    assert lane(nodeid) == expected


def test_what_comes_first_is_there() -> None:
    assert len(set(FIRST)) == len(FIRST)
    for name in FIRST:
        assert name in (*ENGINES, f"{MOST} in the demo", PUBLISHED) or (ROOT / name).is_file(), name
    assert (ROOT / APART).is_file()
    assert MOST in ENGINES


def test_what_looks_at_the_wheel_is_what_says_so() -> None:
    looking = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "tests").rglob("test_*.py")
        if "packages import" in path.read_text("utf-8") and path != Path(__file__)
    }
    assert looking == OF_THE_WHEEL


def test_how_long_each_takes_is_read_from_a_report(tmp_path: Path) -> None:
    report = tmp_path / "times.xml"
    report.write_text(
        """<testsuites><testsuite>
        <testcase classname="tests.test_lanes" name="test_it[a.b]" time="1.5" />
        <testcase classname="tests.test_lanes.TestThem" name="test_it" time="2" />
        <testcase classname="tests.browsers.test_restart" name="test_it[websocket-firefox]" time="4" />
        <testcase classname="tests.test_gone" name="test_it" time="8" />
        <testcase classname="" name="tests.test_broken" time="0" />
        </testsuite></testsuites>""",
        "utf-8",
    )
    assert dict(seconds(report)) == {"tests/test_lanes.py": 3.5, "firefox": 4.0}
