"""Which tests are given out together, and that what is begun first is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from .browsers.engines import ENGINES
from .lanes import APART, FIRST, lane

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("nodeid", "expected"),
    [
        ("tests/web/test_routes.py::test_it[chromium-x]", "tests/web/test_routes.py"),
        ("tests/browsers/test_transports.py::test_all_scenarios[chromium64-jsonp]", "chromium64"),
        ("tests/browsers/test_restart.py::test_it[websocket-firefox]", "firefox"),
        ("tests/browsers/test_demo.py::test_it[firefox]", "firefox"),
        ("tests/browsers/test_demo.py::test_it[chromium]", "chromium in the demo"),
        ("tests/browsers/test_campaign.py::test_messages[12-True]", "tests/browsers/test_campaign.py"),
        ("tests/browsers/test_transports.py::test_every_gap_has_a_reason", "tests/browsers/test_transports.py"),
    ],
)
def test_what_goes_together(nodeid: str, expected: str) -> None:
    assert lane(nodeid) == expected


def test_what_comes_first_is_there() -> None:
    assert len(set(FIRST)) == len(FIRST)
    for name in (*FIRST, APART):
        assert name.removesuffix(" in the demo") in ENGINES or (ROOT / name).is_file(), name
