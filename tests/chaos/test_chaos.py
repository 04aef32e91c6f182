"""A short storm: see this folder's __init__. `make chaos` is a long one."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest

from ..brokers.servers import available
from .__main__ import play
from .account import NATIVE, Session, judge


@pytest.mark.skipif(not available() or shutil.which("node") is None, reason="redis-server and node are needed")
async def test_nobody_notices_what_is_done_to_the_workers() -> None:
    """Killed in the middle of a POST, an upgrade, a publish and a drain, or ended; Redis is restarted and paused."""
    place = Path(tempfile.mkdtemp(prefix="rt-"))  # short: Unix sockets are in it
    result = await play(
        place,
        seconds=0.0,
        seed=1,
        workers=3,
        clients=12,
        every=1.0,
        pause=4.5,  # longer than a lease
        lease=4.0,  # and that is longer than a busy machine keeps anybody from running
        strangers=(
            "javascript websocket",
            "javascript long_polling",
            "javascript jsonp",
            "javascript htmlfile",
            "sockjs websocket",
            "sockjs xhr-polling",
            "engineio polling+websocket",
            "raw websocket",
        ),
    )
    assert result.wrong == [], f"{dict(result.counts)}; logs: {place}"
    assert result.counts["messages that came back"] > 100
    shutil.rmtree(place)


def session(client: str = "python", **facts: object) -> Session:
    """One that had ten messages sent and received, and closed."""
    one = Session(client, "websocket", owner="0.1", sent=10, received=10, asked=True, code=1000)
    for name, value in facts.items():
        setattr(one, name, value)
    return one


@pytest.mark.parametrize("fate", ["", "killed", "terminated"])
@pytest.mark.parametrize("client", NATIVE)
def test_a_session_that_closes_is_right_whatever_becomes_of_its_worker(fate: str, client: str) -> None:
    assert judge(session(client), fate, 3) == []


@pytest.mark.parametrize(
    ("facts", "fate", "deaths"),
    [
        ({"received": 11}, "", 0),
        ({"received": 11}, "killed", 1),
        ({"received": 9}, "", 2),
        ({"asked": False, "code": 4404}, "", 2),
        ({"asked": False, "code": 1012}, "", 2),
        ({"asked": False, "code": 1006}, "killed", 1),
        ({"asked": False, "code": 1012}, "killed", 1),
        ({"asked": False, "code": 1006}, "terminated", 1),
        ({"asked": False, "code": 1012, "received": 9}, "terminated", 1),
        ({"problems": ["said"]}, "killed", 1),
        ({"client": "sockjs", "received": 9}, "", 0),
        ({"client": "raw", "asked": False, "code": 1006}, "", 0),
    ],
)
def test_the_judge_sees_what_is_wrong(facts: dict[str, object], fate: str, deaths: int) -> None:
    assert judge(session(**facts), fate, deaths) != []  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("facts", "fate", "deaths"),
    [
        ({"asked": False, "code": 4404, "received": 3}, "killed", 1),
        ({"asked": False, "code": 1012}, "terminated", 1),
        ({"asked": False, "code": 1012, "received": 8, "unsent": 2}, "terminated", 1),
        ({"client": "sockjs", "asked": False, "code": 1006, "received": 9}, "", 1),
    ],
)
def test_the_judge_excuses_what_is_told(facts: dict[str, object], fate: str, deaths: int) -> None:
    assert judge(session(**facts), fate, deaths) == []  # type: ignore[arg-type]


def test_a_session_hears_what_is_not_the_next() -> None:
    one = Session("raw", "websocket")
    for message in ("at 0.1", "1", "2", "2", "4", "at 0.1"):
        one.hear(message)
    assert one.received == 2
    assert len(one.problems) == 3
