"""The table of negotiation: client abilities × evidence → ranked verdicts. docs/negotiation.md shows the same cases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from realtime.core.health import Failure, Health
from realtime.core.negotiation import Choice, Evidence, Place, negotiate

KNOWN = ("websocket", "sse", "xhr_streaming", "long_polling", "polling")
NOW = 1000.0


def remembered(**failures: int) -> Health:
    """A network's health after so many failures in a row, 10 s ago."""
    health = Health(30.0, 600.0)
    for name, times in failures.items():
        for _ in range(times):
            health.failed(name, "cut after 0.2 s", NOW - 10)
    return health


def reported(**how: str) -> Evidence:
    """What a client says has failed 4 s ago."""
    return Evidence(reported={name: Failure(1, NOW - 4, what) for name, what in how.items()})


# name → policy, what the client names, what carries, evidence, and the ranked verdicts.
CASES: dict[str, tuple[tuple[str, ...], tuple[str, ...], str, Evidence, list[str]]] = {
    "a client that can do everything, on a WebSocket": (
        ("websocket", "sse", "long_polling"),
        ("websocket", "sse", "long_polling"),
        "websocket",
        Evidence(),
        ["websocket taken", "sse offered", "long_polling offered", "xhr_streaming refused", "polling refused"],
    ),
    "the same, opened by a poll: what is wanted more stays in front": (
        ("websocket", "long_polling"),
        ("websocket", "long_polling"),
        "long_polling",
        Evidence(),
        ["websocket offered", "long_polling taken", "sse refused", "xhr_streaming refused", "polling refused"],
    ),
    "a client that does not say what it can run": (
        ("websocket", "polling"),
        (),
        "",
        Evidence(),
        ["websocket offered", "polling offered", "sse refused", "xhr_streaming refused", "long_polling refused"],
    ),
    "a client without WebSocket": (
        ("websocket", "long_polling", "polling"),
        ("polling", "long_polling"),
        "long_polling",
        Evidence(),
        ["websocket refused", "long_polling taken", "polling offered", "sse refused", "xhr_streaming refused"],
    ),
    "a client that names a transport nobody here knows": (
        ("websocket",),
        ("websocket", "smoke_signals"),
        "websocket",
        Evidence(),
        [
            "websocket taken",
            "sse refused",
            "xhr_streaming refused",
            "long_polling refused",
            "polling refused",
            "smoke_signals refused",
        ],
    ),
    "the client says that a WebSocket was refused": (
        ("websocket", "sse", "long_polling"),
        ("websocket", "sse", "long_polling"),
        "long_polling",
        reported(websocket="answered with HTTP 403"),
        ["websocket demoted", "sse offered", "long_polling taken", "xhr_streaming refused", "polling refused"],
    ),
    "others of this network lost their WebSockets": (
        ("websocket", "long_polling"),
        ("websocket", "long_polling"),
        "long_polling",
        Evidence(remembered=remembered(websocket=1)),
        ["websocket demoted", "long_polling taken", "sse refused", "xhr_streaming refused", "polling refused"],
    ),
    "they did, but it is long enough ago for another try": (
        ("websocket", "long_polling"),
        ("websocket", "long_polling"),
        "long_polling",
        Evidence(remembered=Health(5.0, 600.0)),
        ["websocket offered", "long_polling taken", "sse refused", "xhr_streaming refused", "polling refused"],
    ),
    "a request that came as HTTP/1.0": (
        ("websocket", "sse", "long_polling"),
        ("websocket", "sse", "long_polling"),
        "long_polling",
        Evidence(http_version=(1, 0)),
        ["websocket demoted", "sse offered", "long_polling taken", "xhr_streaming refused", "polling refused"],
    ),
    "whatever failed before, what carries is taken": (
        ("websocket", "long_polling"),
        ("websocket", "long_polling"),
        "websocket",
        reported(websocket="reset"),
        ["websocket taken", "long_polling offered", "sse refused", "xhr_streaming refused", "polling refused"],
    ),
    "the server was given no WebTransport": (
        ("webtransport", "websocket"),
        ("webtransport", "websocket"),
        "websocket",
        Evidence(),
        [
            "websocket taken",
            "webtransport refused",
            "sse refused",
            "xhr_streaming refused",
            "long_polling refused",
            "polling refused",
        ],
    ),
}


def verdicts(choices: Sequence[Choice]) -> list[str]:
    """The ranked list in short."""
    return [f"{choice.name} {choice.verdict}" for choice in choices]


@pytest.mark.parametrize("case", CASES)
def test_the_table(case: str) -> None:
    policy, client, taken, evidence, expected = CASES[case]
    assert verdicts(negotiate(policy, KNOWN, client, taken, evidence, NOW)) == expected


def test_the_document_shows_the_table() -> None:
    path = Path(__file__).parents[2] / "docs" / "negotiation.md"
    text = path.read_text(encoding="utf-8")
    for case, (*_, expected) in CASES.items():
        row = next((line for line in text.splitlines() if line.startswith(f"| {case} |")), None)
        assert row is not None, f"docs/negotiation.md has no row for: {case}"
        shown = [cell.strip() for cell in row.split("|")][-2]
        offered = [verdict for verdict in expected if not verdict.endswith("refused")]
        assert shown == ", ".join(offered)


def test_a_transport_that_has_a_port_of_its_own() -> None:
    served = (*KNOWN, "webtransport")
    policy = ("webtransport", "websocket")
    choices = negotiate(policy, served, policy, "websocket", Evidence(), NOW)
    assert verdicts(choices)[:2] == ["webtransport offered", "websocket taken"]
    offered = choices[0]._replace(place=Place(4433))
    assert offered.as_dict() == {
        "name": "webtransport",
        "verdict": "offered",
        "reason": "allowed here, and the client can run it",
        "port": 4433,
    }
    assert Place(4433, "udp.example.org", b"\x00\xff").as_dict() == {
        "port": 4433,
        "host": "udp.example.org",
        "hash": "AP8=",
    }
    unserved = negotiate(policy, KNOWN, policy, "websocket", Evidence(), NOW)
    assert [choice.reason for choice in unserved if choice.name == "webtransport"] == [
        "this server does not listen for it: setup() was given none"
    ]


def test_reasons_are_in_words() -> None:
    evidence = reported(websocket="answered with HTTP 403")._replace(
        remembered=remembered(sse=4), timings={"sse": 0.25}
    )
    choices = {choice.name: choice for choice in negotiate(KNOWN, KNOWN, KNOWN[:-1], "long_polling", evidence, NOW)}
    assert choices["websocket"].reason == "the client says it failed 4 s ago: answered with HTTP 403"
    assert choices["websocket"].reason_for_others == "the client says it failed 4 s ago: in its own words"
    assert choices["sse"].reason == "failed 10 s ago for a client of this network: cut after 0.2 s"
    assert choices["sse"].reason_for_others == choices["sse"].reason
    assert choices["polling"].reason == "the client does not name it"
    assert choices["xhr_streaming"].reason == "allowed here, and the client can run it"
    assert choices["sse"].as_dict() == {
        "name": "sse",
        "verdict": "demoted",
        "reason": choices["sse"].reason,
        "timing": 0.25,
    }
    assert choices["websocket"].as_dict().keys() == {"name", "verdict", "reason"}
    old = negotiate(("sse",), KNOWN, (), "", Evidence(reported={"sse": Failure(1, NOW - 600, "cut")}), NOW)
    assert old[0].reason == "the client says it failed 10 min ago: cut"
