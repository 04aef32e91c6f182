"""The doctor before each middle box of the lab: what gets through, what blocks the rest, and what it advises."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from realtime.client.doctor import Examination, examine

from ..patience import Pauses, steady
from .boxes import BOXES
from .expected import ALL, EXPECTED, PATIENCE, through

Put = Callable[[str], Awaitable[str]]

# What the advice for a state has to name.
ADVICE = {
    "stripped": "proxy_set_header Upgrade",
    "refused": "http-request deny",
    "buffered": "proxy_buffering off",
    "lagged": "option http-no-delay",
    "cut": "proxy_read_timeout",
}


def states(found: Examination) -> dict[str, str]:
    """What was found, without what is as it should be."""
    return {finding.transport: finding.state for finding in found.findings if finding.state != "ok"}


def test_every_box_is_expected_to_do_something() -> None:
    assert set(EXPECTED) == set(BOXES)


@pytest.mark.parametrize("name", EXPECTED)
@steady
async def test_diagnosis(name: str, box: Put) -> None:
    found = await examine(await box(name), patience=PATIENCE.get(name, 0.2))
    assert states(found) == EXPECTED[name], [finding.what for finding in found.findings]
    assert {finding.transport for finding in found.findings if finding.through} == set(through(name))
    assert set(found.order) == set(through(name))
    assert found.realtime
    assert found.through
    advice = " ".join(found.advice)
    for state, word in ADVICE.items():
        assert (word in advice) is (state in EXPECTED[name].values()), advice
    assert found.seconds < 10
    for finding in found.findings:
        if finding.through:
            assert finding.first_byte is not None
            assert finding.round_trip is not None
            assert 0 < finding.round_trip < 1


@steady
async def test_what_is_cut_is_timed_and_comes_last(box: Put) -> None:
    found = await examine(await box("nginx that cuts after 1 s"), patience=1.6)
    for finding in found.findings:
        if finding.transport != "polling":
            assert finding.cut_after is not None
            # The box counts from when it has passed the last on, this end from when it has heard it, some hops later:
            # each may be late by what does not count as a pause yet (Pauses.LONG).
            assert 1 - 5 * Pauses.LONG < finding.cut_after < 1.5
    assert found.order == ("polling", *(name for name in ALL if name != "polling"))
    assert "ping_interval below it (it is 20 s)" in " ".join(found.advice)


@steady
async def test_a_lag_is_measured_and_what_has_none_comes_first(box: Put) -> None:
    found = await examine(await box("haproxy as it comes"), patience=0)
    lags = {finding.transport: finding.lag for finding in found.findings if finding.state == "lagged"}
    assert all(lag is not None and 0.1 < lag < 0.5 for lag in lags.values())
    assert found.order == ("websocket", "long_polling", "polling", *lags)
