"""A short storm for durable sessions, and its judge: see durable.py."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest

from ..brokers.servers import available
from .account import NATIVE
from .durable import play
from .outlived import Outlived, judge_outlived, pauses, percentile


@pytest.mark.skipif(not available() or shutil.which("node") is None, reason="redis-server and node are needed")
async def test_durable_sessions_go_on_whatever_is_done_to_their_workers() -> None:
    """Killed within a turn, between its commit and the write, and before anything is told of that; stopped for longer
    than a lease; each ended; Redis paused and restarted. What was sent came back and was handled, once, in order."""
    place = Path(tempfile.mkdtemp(prefix="rt-"))  # short: Unix sockets are in it
    result = await play(
        place,
        seconds=0.0,
        seed=1,
        workers=3,
        clients=6,
        every=1.0,
        pause=3.0,
        lease=4.0,
        pages=("websocket", "long_polling", "jsonp"),
    )
    assert result.wrong == [], f"{dict(result.counts)}; logs: {place}"
    assert {session.client for session in result.sessions} == set(NATIVE)
    assert result.counts["sessions whose worker was harmed"] > 0
    shutil.rmtree(place)


def outlived(**facts: Any) -> Outlived:
    """One that had three messages sent, answered and handled, and closed."""
    answers = [(1.1, "0.1"), (2.1, "0.1"), (9.0, "1.1")]
    one = Outlived("python", "websocket", "sid", sent=3, received=3, asked=True, code=1000, ended=20.0)
    one.times, one.answers = [1.0, 2.0, 3.0], answers
    for name, value in facts.items():
        setattr(one, name, value)
    return one


def test_what_was_handled_once_is_right() -> None:
    assert judge_outlived(outlived(), {"sid": [3]}, []) == []
    assert judge_outlived(outlived(code=4412), {}, []) == []  # no handler knows of its end, and it was told so
    assert judge_outlived(outlived(), {"sid": [3, 3]}, [4.0]) == []  # its last handler's worker died: once more


@pytest.mark.parametrize(
    ("facts", "handled"),
    [
        ({"received": 2}, {"sid": [3]}),
        ({"received": 4}, {"sid": [3]}),
        ({"problems": ["said"]}, {"sid": [3]}),
        ({"asked": False, "code": 4404}, {"sid": [3]}),
        ({"asked": False, "code": 4414}, {"sid": [3]}),
        ({}, {}),
        ({"code": 4412, "received": 2}, {}),
        ({"code": 4412, "asked": False}, {}),
        ({}, {"sid": [2]}),
        ({}, {"sid": [3, 4]}),
        ({"owner": ""}, {"sid": [3]}),
    ],
)
def test_the_judge_excuses_nothing(facts: dict[str, Any], handled: dict[str, list[int]]) -> None:
    assert judge_outlived(outlived(**facts), handled, [2.5, 2.6, 2.7, 2.8]) != []


def test_a_message_behind_which_four_workers_died_may_end_its_session() -> None:
    one = outlived(asked=False, code=1011, received=2)
    assert judge_outlived(one, {}, [3.5, 4.5, 5.5, 6.5]) == []
    assert judge_outlived(one, {}, [2.5, 4.5, 5.5, 6.5]) != []


def test_a_session_hears_who_has_answered() -> None:
    one = Outlived("python", "websocket")
    for at, message in enumerate(("at sid", "1 by 0.1", "2 by 1.1", "2 by 1.1")):
        one.answered(float(at), message)
    assert one.owner == "sid"
    assert one.received == 2
    assert one.answers == [(1.0, "0.1"), (2.0, "1.1"), (3.0, "1.1")]
    assert len(one.problems) == 1


def test_a_pause_lasts_from_the_harm_to_the_first_answer_of_another_worker() -> None:
    harms = [
        ("killed", "0.1", 0.5),  # before anything was answered
        ("stopped", "1.1", 2.5),  # another worker
        ("killed", "0.1", 1.5),  # an answer was on its way
        ("killed", "0.1", 2.5),  # nothing was waiting: from the next message on
        ("terminated", "0.1", 4.0),  # one was
        ("stopped", "1.1", 10.0),  # nothing came behind it
    ]
    assert pauses([outlived()], harms) == {"killed": [6.0, 6.0], "terminated": [5.0]}


def test_percentiles() -> None:
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([float(number) for number in range(200)], 0.99) == 198.0
    assert percentile([1.0], 0.99) == 1.0
