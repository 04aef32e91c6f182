"""Engine × transport × scenario: a page runs all scenarios over one transport, and nothing is in its console."""

from __future__ import annotations

import pytest

from .abilities import GAPS, LESS, TRANSPORTS, can, leaves_out
from .engines import ENGINES, Engine, Node, wanted
from .harness import Harness, serving

SCENARIOS = (
    "echo",
    "values",
    "lone_surrogates",
    "binary",
    "numbers",
    "large_text",
    "large_binary",
    "cross_origin",
    "closed_by_server",
    "closed_by_client",
)


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_all_scenarios(engine: Engine, transport: str, harness: Harness) -> None:
    if not can(engine.name, transport):
        pytest.skip(GAPS[engine.name, transport])
    scenarios = [name for name in SCENARIOS if not leaves_out(engine.name, transport, name)]
    report = await harness.run(engine, transport, scenarios, timeout=150)
    problems = [f"{outcome.scenario}: {outcome.problem}" for outcome in report.outcomes if not outcome.ok]
    assert problems == [], "\n".join(report.log[-60:])
    assert [outcome.scenario for outcome in report.outcomes] == scenarios
    assert {outcome.transport for outcome in report.outcomes} - {None} == {transport}
    assert report.errors == []


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("engine", [name for name in ("htmlunit",) if name in wanted()], indirect=True)
async def test_scripts_that_are_not_held_long(engine: Engine) -> None:
    """Internet Explorer's JSONP, as far as its emulation goes (abilities.py)."""
    async with serving(ping_interval=0.3, ping_timeout=10.0) as harness:
        report = await harness.run(engine, "jsonp", ["echo"], timeout=100)
    assert [(outcome.ok, outcome.transport) for outcome in report.outcomes] == [(True, "jsonp")], report.log
    assert report.errors == []


def test_every_gap_has_a_reason() -> None:
    for (engine, transport), reason in GAPS.items():
        assert engine in (*ENGINES, Node.name)
        assert transport in TRANSPORTS
        assert reason
    for (engine, transport, scenario), reason in LESS.items():
        assert engine in ENGINES
        assert transport in ("", *TRANSPORTS)
        assert scenario in SCENARIOS
        assert reason
