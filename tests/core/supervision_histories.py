"""The histories of tests/vectors/supervision.json: what happens to a client's session, and what its policy makes of it.

    python -m tests.core.supervision_histories        # writes the file

Written by hand is what happens, and what is to be done then; the command adds when the policy wants to be asked next.
Each history is played by turn() after each event, and at each time that stands there without one.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from realtime.core.attempts import Action
from realtime.core.choice import DUPLEX, FOREVER, HELD, POLL, STREAM, Rules
from realtime.core.supervision import Supervision

__all__ = ["History", "Step", "histories", "play", "text"]

VECTORS = Path(__file__).parents[1] / "vectors" / "supervision.json"

WS, XHR, SSE = ("websocket", DUPLEX), ("xhr_streaming", STREAM), ("sse", STREAM)
LONG, PLAIN = ("long_polling", HELD), ("polling", POLL)
ALL = (WS, XHR, SSE, LONG, PLAIN)
# What a server announces in these histories: how long a session lives without contact, how long the answer to a held
# poll may take, and the bounds of the pause between two plain polls; in seconds.
SERVER = (160.0, 60.0, (1.0, 4.0))

# Later than that is never: see CROWDED.
FAR = 1e8
# So far from each other, at least, are what happens and what is due: clocks round.
APART = 0.002

Step = tuple[float, str, str]


@dataclass(frozen=True)
class History:
    """`steps`: when, what happens (empty: nothing but time passing), and the actions expected then, one a line."""

    name: str
    transports: Sequence[tuple[str, int]]
    steps: Sequence[Step]
    rules: dict[str, Any] = field(default_factory=dict)
    jitter: float = 0.5


def event_of(words: str) -> list[Any]:
    """An event from its words: its name and arguments."""
    name, *rest = words.split(" ", 1)
    args = rest[0] if rest else ""
    if name == "opened":
        return [name, SERVER[0], SERVER[1], list(SERVER[2])]
    if name in ("calm", "waits"):
        return ["set", name, args != "no"]
    if name == "crowd":
        return [name, args != "no"]
    if name in ("answered", "online", "delivered"):
        *numbers, flag = args.split()
        return [name, *map(int, numbers), flag in ("news", "another", "up")]
    if name in ("lost", "refused"):
        head = 2 if name == "refused" else 1
        fields = args.split(" ", head)
        words, _, wait = fields[head].partition(" after ")
        return [name, *map(int, fields[:head]), words, *([float(wait)] if wait else [])]
    if name == "post_failed":
        words, _, wait = args.partition(" after ")
        return [name, words, *([float(wait)] if wait else [])]
    if name == "tested":
        ident, took = args.split()
        return [name, int(ident), float(took)]
    if name in ("switch",):
        return [name, args]
    if name == "rank":
        return [name, args.split()]
    return [name, *map(int, args.split())]


def happen(supervision: Supervision, at: float, event: Sequence[Any]) -> None:
    """Tells the policy."""
    name, *args = event
    if name == "set":
        setattr(supervision, args[0], args[1])
    elif name == "rank":
        supervision.choice.rank(args[0])
    else:
        getattr(supervision, name)(at, *args)


def told(action: Action) -> list[Any]:
    """An action as it stands in the vectors: without the words of a reason."""
    name = action[0]
    return [name] if name == "renew" else [*action[:2]] if name == "end" else [*action]


def play(history: dict[str, Any]) -> list[dict[str, Any]]:
    """Plays the events of one vector; the steps as the policy makes them."""
    rules: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in history.get("rules", {}).items()
    }
    transports = [(name, kind) for name, kind in history["transports"]]
    supervision = Supervision(transports, Rules(**rules), lambda: history.get("jitter", 0.5), 0.0)
    steps = []
    for step in history["steps"]:
        if step["event"]:
            happen(supervision, step["at"], step["event"])
        actions = [told(action) for action in supervision.turn(step["at"])]
        found = {"at": step["at"], "event": step["event"], "actions": actions}
        if step["event"][:1] in (["post_failed"], ["online"]):
            found["post_at"] = round(supervision.post_at, 6)
        deadline = supervision.deadline()
        found["deadline"] = None if deadline > FAR else round(deadline, 6)
        steps.append(found)
    return steps


def vector(history: History) -> dict[str, Any]:
    """A history as it stands in the file; AssertionError where the policy does not what it is to do."""
    found: dict[str, Any] = {"name": history.name, "transports": [list(transport) for transport in history.transports]}
    # A page always insists: nobody else would try again. What is otherwise where somebody would, Python's alone plays.
    rules = {"insists": True, **history.rules}
    found["rules"] = {key: list(v) if isinstance(v, tuple) else v for key, v in rules.items()}
    found["jitter"] = history.jitter
    found["steps"] = [{"at": at, "event": event_of(words) if words else []} for at, words, _ in history.steps]
    found["steps"] = play(found)
    due: float | None = None
    for step, (at, words, expected) in zip(found["steps"], history.steps, strict=True):
        assert due is None or abs(due - at) > APART, f"{history.name}: {at} is too near to {due}"
        due = step["deadline"]
        seen = "; ".join(" ".join(map(str, action)) for action in step["actions"])
        assert seen == expected, f"{history.name}: at {at}, {words!r}: {seen!r}, not {expected!r}"
    return found


def text() -> str:
    """The file."""
    return "[\n" + ",\n".join("  " + json.dumps(vector(history)) for history in histories()) + "\n]\n"


# -- the histories -----------------------------------------------------------------------------------------------------


def opened_by_websocket(at: float = 0.05) -> list[Step]:
    """A WebSocket carries."""
    return [
        (0.0, "", "start 1 websocket carry"),
        (at, "opened", ""),
        (at, "attached 1", ""),
        (at, "calm", ""),
    ]


def histories() -> Iterator[History]:
    """All of them."""
    yield from opening()
    yield from racing()
    yield from streams()
    yield from polls()
    yield from coming_back()
    yield from refusals()
    yield from upgrades()
    yield from sends()
    yield from networks()
    yield from details()
    yield from pairs()


def opening() -> Iterator[History]:
    """What is tried, in which order, and when it is given up."""
    yield History("a good network is asked once", ALL, [*opened_by_websocket(), (0.25, "", ""), (60.0, "", "")])
    yield History(
        "every transport once at once, then with a pause; after two rounds it is given up",
        (WS, LONG),
        [
            (0.0, "", "start 1 websocket carry"),
            (0.01, "lost 1 reset", "start 2 long_polling carry"),
            (0.02, "lost 2 reset", ""),
            (0.11, "", "start 3 websocket carry"),
            (0.12, "lost 3 reset", "start 4 long_polling carry"),
            (0.13, "lost 4 reset", "end 4411"),
            (1.0, "", ""),
        ],
        {"insists": False},
    )
    yield History(
        "a session that nobody else would open is not given up before its time",
        (WS,),
        [
            (0.0, "", "start 1 websocket carry"),
            (0.0, "lost 1 reset", ""),
            (0.08, "", "start 2 websocket carry"),
            (0.1, "lost 2 reset", ""),
            (0.26, "", "start 3 websocket carry"),
            (0.3, "lost 3 reset", ""),
            (0.61, "", "start 4 websocket carry"),
            (0.62, "lost 4 reset", ""),
            (1.23, "", "start 5 websocket carry"),
            (2.01, "", "end 4411"),
        ],
        {"open_timeout": 2.0},
    )
    yield History(
        "only time-outs make patient, and they do not count against the opening",
        (PLAIN,),
        [
            (0.0, "", "start 1 polling carry"),
            (1.0, "", ""),
            (5.01, "", "stop 1"),
            (5.09, "", "start 2 polling carry"),
            (10.01, "", "stop 2"),
            (10.17, "", "anew; start 3 polling carry"),
            (11.0, "lost 3 HTTP 502", ""),
            (11.31, "", "start 4 polling carry"),
            (20.18, "", "stop 4"),
            (20.79, "", "anew; start 5 polling carry"),
            (30.8, "", "stop 5"),
            (32.01, "", "anew; start 6 polling carry"),
            (40.01, "", "end 4411"),
        ],
        {"open_timeout": 40.0},
    )
    yield from nonces()
    yield History(
        "a session is not opened while the shell waits",
        (PLAIN,),
        [
            (0.0, "waits", ""),
            (3.0, "", ""),
            (4.0, "waits no", "start 1 polling carry"),
            (4.1, "opened", ""),
            (4.1, "attached 1", ""),
            (4.1, "answered 1 nothing", "start 2 polling carry"),
        ],
    )
    yield History(
        "nothing is started after the end, and nothing that is told then counts",
        (WS, LONG),
        [
            *opened_by_websocket(),
            (1.0, "over", ""),
            (1.0, "lost 1 cut", ""),
            (2.0, "online another", ""),
            (2.0, "post_failed reset", ""),
            (2.0, "refused 1 4406 gone", ""),
            (900.0, "", ""),
        ],
    )


def nonces() -> Iterator[History]:
    """For how long a client opens by a nonce (docs/protocol.md §5)."""
    yield History(
        "what fails at once is opened by one nonce for seven seconds, and by another then",
        (PLAIN,),
        [
            (0.0, "", "start 1 polling carry"),
            (0.1, "lost 1 reset", ""),
            (0.18, "", "start 2 polling carry"),
            (4.9, "lost 2 reset", ""),
            (5.06, "", "start 3 polling carry"),
            (6.6, "lost 3 reset", ""),
            (6.91, "", "start 4 polling carry"),
            (6.95, "lost 4 reset", ""),
            (7.56, "", "anew; start 5 polling carry"),
            (7.6, "opened", ""),
            (7.6, "attached 5", ""),
            (7.6, "answered 5 nothing", "start 6 polling carry"),
        ],
    )
    yield History(
        "an open that begins late in a nonce's life ends with it",
        (PLAIN,),
        [
            (0.0, "", "start 1 polling carry"),
            (6.0, "lost 1 reset", ""),
            (6.08, "", "start 2 polling carry"),
            (10.01, "", "stop 2"),
            (10.17, "", "anew; start 3 polling carry"),
            (20.18, "", "stop 3"),
        ],
    )
    yield History(
        "whatever an application grants an attempt, an open is let go of after ten seconds",
        (WS,),
        [(0.0, "", "start 1 websocket carry"), (10.01, "", "stop 1"), (10.09, "", "anew; start 2 websocket carry")],
        {"attach_timeout": 20.0, "insists": False},
    )
    yield History(
        "nothing opens beside a WebSocket by a nonce that is old",
        (WS, LONG),
        [
            (0.0, "", "start 1 websocket carry"),
            (0.1, "refused 1 4401 expired", "renew"),
            (6.9, "renewed", "start 2 websocket carry"),
            (7.16, "", ""),
            (10.01, "", "stop 2; anew; start 3 long_polling carry"),
        ],
    )
    yield History(
        "while the application is asked for other auth data nothing is late",
        (WS,),
        [
            (0.0, "", "start 1 websocket carry"),
            (0.1, "refused 1 4401 expired", "renew"),
            (60.0, "", ""),
            (600.0, "renewed", "anew; start 2 websocket carry"),
            (605.01, "", "stop 2"),
        ],
    )
    yield History(
        "what opens by the old nonce is let go of",
        (WS, LONG),
        [
            (0.0, "", "start 1 websocket carry"),
            (0.1, "refused 1 4401 expired", "renew"),
            (5.0, "renewed", "start 2 websocket carry"),
            (5.26, "", "start 3 long_polling open"),
            (6.9, "superseded 2", ""),
            (7.21, "", "stop 3; anew; start 4 websocket carry"),
            (7.3, "opened", ""),
            (7.3, "attached 4", ""),
        ],
    )
    yield History(
        "a page that was put away while it opened comes back with another nonce",
        (WS, LONG),
        [
            (0.0, "", "start 1 websocket carry"),
            (0.1, "waits", ""),
            (0.1, "dropped", ""),
            (3600.0, "waits no", "anew; start 2 websocket carry"),
            (3600.26, "", "start 3 long_polling open"),
        ],
        {"open_timeout": 7200.0},
    )
    yield History(
        "a session that is open asks for no nonce",
        (WS, PLAIN),
        [*opened_by_websocket(), (60.0, "lost 1 cut", "start 2 websocket carry"), (61.0, "attached 2", "")],
    )


def racing() -> Iterator[History]:
    """A WebSocket and a poll open one session."""
    yield History(
        "HTTP is tried beside a WebSocket that takes its time, and let go of when that wins",
        ALL,
        [
            (0.0, "", "start 1 websocket carry"),
            (0.26, "", "start 2 long_polling open"),
            (0.3, "opened", ""),
            (0.3, "attached 1", "stop 2"),
            (0.3, "calm", ""),
            (0.4, "refused 2 4409 used", ""),
            (60.0, "", ""),
        ],
    )
    yield History(
        "where HTTP wins the WebSocket has as long again as HTTP took",
        ALL,
        [
            (0.0, "", "start 1 websocket carry"),
            (0.26, "", "start 2 long_polling open"),
            (0.35, "opened", ""),
            (0.35, "attached 2", ""),
            (0.35, "calm", ""),
            (0.35, "answered 2 nothing", ""),
            (0.46, "", "stop 1; start 3 xhr_streaming carry; test 3"),
            (0.5, "attached 3", ""),
            (1.51, "", ""),
            (5.4, "", ""),
            (5.5, "", "start 4 websocket probe"),
        ],
        jitter=0.0,
    )
    yield History(
        "and attaches within that",
        ALL,
        [
            (0.0, "", "start 1 websocket carry"),
            (0.26, "", "start 2 long_polling open"),
            (0.35, "opened", ""),
            (0.35, "attached 2", ""),
            (0.35, "answered 2 nothing", ""),
            (0.4, "attached 1", ""),
            (0.4, "calm", ""),
            (60.0, "", ""),
        ],
    )
    yield History(
        "a WebSocket that has reached the server has half a second at least",
        (WS, LONG),
        [
            (0.0, "", "start 1 websocket carry"),
            (0.26, "", "start 2 long_polling open"),
            (0.27, "opened", ""),
            (0.27, "attached 2", ""),
            (0.27, "superseded 2", ""),
            (0.75, "", ""),
            (0.78, "", "stop 1; start 3 long_polling carry"),
        ],
    )
    yield History(
        "of a WebSocket that fails meanwhile the poll takes the place",
        (WS, LONG, PLAIN),
        [
            (0.0, "", "start 1 websocket carry"),
            (0.26, "", "start 2 long_polling open"),
            (0.3, "lost 1 reset", ""),
            (0.4, "opened", ""),
            (0.4, "attached 2", ""),
            (0.4, "answered 2 nothing", "start 3 long_polling carry"),
        ],
    )
    yield History(
        "where the poll fails the WebSocket goes on, to its own time-out",
        (WS, LONG, PLAIN),
        [
            (0.0, "", "start 1 websocket carry"),
            (0.26, "", "start 2 long_polling open"),
            (0.3, "lost 2 HTTP 502", ""),
            (5.01, "", "stop 1; start 3 polling carry"),
        ],
    )
    yield History(
        "the refusal of an open that comes late is no matter",
        (WS, LONG),
        [
            (0.0, "", "start 1 websocket carry"),
            (0.26, "", "start 2 long_polling open"),
            (0.3, "opened", ""),
            (0.31, "refused 2 4409 used", ""),
            (0.32, "attached 1", ""),
            (0.32, "calm", ""),
            (60.0, "", ""),
        ],
    )
    yield History(
        "there is one race",
        (WS, LONG),
        [
            (0.0, "", "start 1 websocket carry"),
            (0.26, "", "start 2 long_polling open"),
            (0.3, "lost 2 reset", ""),
            (0.4, "lost 1 reset", "start 3 long_polling carry"),
            (0.5, "lost 3 reset", ""),
            (0.58, "", "start 4 websocket carry"),
            (1.0, "", ""),
            (2.0, "", ""),
        ],
    )
    yield History(
        "without polls there is nothing to race against",
        (WS, XHR),
        [(0.0, "", "start 1 websocket carry"), (0.26, "", ""), (5.01, "", "stop 1; start 2 xhr_streaming carry")],
    )


def streams() -> Iterator[History]:
    """Streams are opened by polls, and believed when bytes arrive."""
    yield History(
        "a stream is opened by a poll, and tested by a POST",
        (XHR, LONG),
        [
            (0.0, "", "start 1 long_polling carry"),
            (0.1, "opened", ""),
            (0.1, "attached 1", ""),
            (0.1, "answered 1 nothing", "start 2 xhr_streaming carry; test 2"),
            (0.2, "tested 2 0.1", ""),
            (0.25, "attached 2", ""),
            (0.25, "calm", ""),
            (60.0, "", ""),
        ],
    )
    yield History(
        "what holds one stream back holds them all",
        (XHR, SSE, LONG),
        [
            (0.0, "", "start 1 long_polling carry"),
            (0.1, "opened", ""),
            (0.1, "attached 1", ""),
            (0.1, "answered 1 nothing", "start 2 xhr_streaming carry; test 2"),
            (0.2, "tested 2 0.1", ""),
            (0.91, "", "stop 2; start 3 long_polling carry"),
            (1.0, "calm", ""),
            (4.0, "attached 3", ""),
            (4.0, "answered 3 nothing", "start 4 long_polling carry"),
            (5.01, "", ""),
            (5.92, "", "start 5 xhr_streaming probe; test 5"),
            (6.0, "tested 5 0.1", ""),
            (6.71, "", "stop 5"),
            (6.93, "", ""),
            (16.0, "", ""),
            (16.72, "", "start 6 xhr_streaming probe; test 6"),
            (16.8, "proven 6", "stop 6; start 7 xhr_streaming carry; test 7"),
            (16.9, "attached 7", "stop 4"),
        ],
        jitter=0.0,
    )
    yield History(
        "where no poll gets through a stream opens the session, and is not tested",
        (SSE, LONG),
        [
            (0.0, "", "start 1 long_polling carry"),
            (0.1, "lost 1 HTTP 502", "start 2 sse carry"),
            (0.2, "opened", ""),
            (0.2, "attached 2", ""),
        ],
    )
    yield History(
        "a stream that is recycled goes on: at once if it was of use, else as after a failure",
        (SSE,),
        [
            (0.0, "", "start 1 sse carry"),
            (0.1, "opened", ""),
            (0.1, "attached 1", ""),
            (0.2, "delivered down", ""),
            (0.3, "recycled 1", "start 2 sse carry; test 2"),
            (0.4, "attached 2", ""),
            (0.5, "recycled 2", ""),
            (0.58, "", "start 3 sse carry; test 3"),
            (0.6, "attached 3", ""),
            (0.7, "recycled 3", ""),
            (0.86, "", "start 4 sse carry; test 4"),
            (1.0, "attached 4", ""),
            (11.0, "recycled 4", "start 5 sse carry; test 5"),
        ],
    )


def polls() -> Iterator[History]:
    """Each poll is a carrier."""
    start: list[Step] = [
        (0.0, "", "start 1 polling carry"),
        (0.1, "opened", ""),
        (0.1, "attached 1", ""),
        (0.1, "calm", ""),
        (0.1, "answered 1 nothing", "start 2 polling carry"),
        (0.2, "attached 2", ""),
    ]
    yield History(
        "between plain polls the pause grows while there is no news",
        (PLAIN,),
        [
            *start,
            (0.2, "answered 2 nothing", ""),
            (2.1, "", ""),
            (2.21, "", "start 3 polling carry"),
            (2.3, "attached 3", ""),
            (2.3, "answered 3 nothing", ""),
            (6.31, "", "start 4 polling carry"),
            (6.4, "attached 4", ""),
            (6.4, "answered 4 nothing", ""),
            (10.41, "", "start 5 polling carry"),
            (10.5, "attached 5", ""),
            (10.5, "answered 5 news", ""),
            (11.51, "", "start 6 polling carry"),
        ],
    )
    yield History(
        "and ends when there is something to send",
        (PLAIN,),
        [*start, (0.2, "answered 2 nothing", ""), (0.7, "news", "start 3 polling carry"), (0.8, "news", "")],
    )
    yield History(
        "a held poll follows at once, and may take as long as it is held",
        (LONG,),
        [
            (0.0, "", "start 1 long_polling carry"),
            (0.1, "opened", ""),
            (0.1, "attached 1", ""),
            (0.1, "calm", ""),
            (0.1, "answered 1 nothing", "start 2 long_polling carry"),
            (30.1, "attached 2", ""),
            (30.1, "answered 2 nothing", "start 3 long_polling carry"),
            (90.0, "", ""),
            (90.11, "", "stop 3; start 4 long_polling carry"),
        ],
    )
    yield History(
        "an answer that is on its way is not late",
        (LONG,),
        [
            (0.0, "", "start 1 long_polling carry"),
            (4.0, "alive 1", ""),
            (5.01, "", ""),
            (8.0, "alive 1", ""),
            (13.01, "", "stop 1"),
        ],
    )


def coming_back() -> Iterator[History]:
    """The pauses between carriers."""
    yield History(
        "the first attempt after a loss is made at once, further ones ever later; attaching is not enough",
        (WS,),
        [
            *opened_by_websocket(),
            (1.0, "lost 1 cut", "start 2 websocket carry"),
            (1.1, "attached 2", ""),
            (1.1, "lost 2 cut", ""),
            (1.18, "", "start 3 websocket carry"),
            (1.2, "attached 3", ""),
            (1.2, "lost 3 cut", ""),
            (1.36, "", "start 4 websocket carry"),
            (1.4, "attached 4", ""),
            (1.4, "lost 4 cut", ""),
            (1.71, "", "start 5 websocket carry"),
            (1.8, "attached 5", ""),
            (1.8, "delivered down", ""),
            (1.8, "lost 5 cut", "start 6 websocket carry"),
            (1.9, "lost 6 cut", ""),
            (1.98, "", "start 7 websocket carry"),
        ],
    )
    yield History(
        "a good life makes good for the failures before",
        (WS,),
        [
            *opened_by_websocket(),
            (1.0, "lost 1 cut", "start 2 websocket carry"),
            (1.1, "attached 2", ""),
            (11.2, "lost 2 cut", "start 3 websocket carry"),
            (11.3, "lost 3 cut", ""),
            (11.38, "", "start 4 websocket carry"),
        ],
    )
    failing: list[Step] = []
    at, number, pause = 1.0, 1, 0.0
    for pause in (0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0):
        failing.append((at, f"lost {number} reset", "" if pause else f"start {number + 1} websocket carry"))
        if pause:
            failing.append((round(at + pause + 0.01, 6), "", f"start {number + 1} websocket carry"))
        at, number = round(at + pause + 1.0, 6), number + 1
    yield History("pauses are bounded", (WS,), [*opened_by_websocket(), *failing], jitter=0.0)
    yield History(
        "a carrier that died early is left alone for a while, one that lived is not",
        (WS, LONG),
        [
            *opened_by_websocket(),
            (1.0, "lost 1 cut", "start 2 long_polling carry"),
            (1.1, "attached 2", ""),
            (1.1, "answered 2 nothing", "start 3 long_polling carry"),
            (2.11, "", ""),
            (2.11, "calm", ""),
            (5.9, "", ""),
            (6.01, "", "start 4 websocket probe"),
            (6.2, "proven 4", "take 4"),
            (6.3, "attached 4", "stop 3"),
            (30.0, "lost 4 cut", "start 5 websocket carry"),
        ],
        jitter=0.0,
    )
    yield History(
        "the transports take turns, however slowly each fails",
        (WS, SSE, PLAIN),
        [
            *opened_by_websocket(),
            (1.0, "lost 1 cut", "start 2 sse carry; test 2"),
            (13.0, "lost 2 cut", ""),
            (13.08, "", "start 3 polling carry"),
            (25.0, "lost 3 reset", ""),
            (25.16, "", "start 4 websocket carry"),
        ],
    )
    yield History(
        "several that failed in a row met a network that was gone: all of them are soon tried again",
        (WS, XHR, LONG),
        [
            *opened_by_websocket(),
            (1.0, "lost 1 cut", "start 2 xhr_streaming carry; test 2"),
            (1.1, "lost 2 reset", ""),
            (1.18, "", "start 3 long_polling carry"),
            (2.0, "attached 3", ""),
            (2.0, "delivered up", ""),
            (2.0, "answered 3 news", "start 4 long_polling carry"),
            (3.01, "", "start 5 websocket probe"),
        ],
    )
    yield History(
        "after a carrier that was superseded the next one waits, longer each time",
        (WS,),
        [
            *opened_by_websocket(),
            (1.0, "superseded 1", ""),
            (1.31, "", "start 2 websocket carry"),
            (1.4, "attached 2", ""),
            (1.5, "superseded 2", ""),
            (2.11, "", "start 3 websocket carry"),
            (2.2, "attached 3", ""),
            (20.0, "superseded 3", ""),
            (20.31, "", "start 4 websocket carry"),
        ],
    )
    yield History(
        "time-outs double the patience, up to a quarter of what the session has left; a carrier resets it",
        (PLAIN,),
        [
            (0.0, "", "start 1 polling carry"),
            (0.1, "opened", ""),
            (0.1, "attached 1", ""),
            (0.1, "answered 1 nothing", "start 2 polling carry"),
            (5.11, "", "stop 2; start 3 polling carry"),
            (15.12, "", "stop 3"),
            (15.2, "", "start 4 polling carry"),
            (35.21, "", "stop 4"),
            (35.37, "", "start 5 polling carry"),
            (66.0, "", ""),
            (66.6, "", "stop 5"),
            (66.91, "", "start 6 polling carry"),
            (67.0, "attached 6", ""),
            (67.0, "lost 6 cut", ""),
            (67.61, "", "start 7 polling carry"),
            (72.62, "", "stop 7"),
        ],
    )
    yield History(
        "quick failures do not",
        (PLAIN,),
        [
            (0.0, "", "start 1 polling carry"),
            (0.1, "opened", ""),
            (0.1, "attached 1", ""),
            (0.1, "answered 1 nothing", "start 2 polling carry"),
            (0.2, "lost 2 HTTP 502", "start 3 polling carry"),
            (0.3, "lost 3 HTTP 502", ""),
            (0.38, "", "start 4 polling carry"),
            (0.4, "lost 4 HTTP 502", ""),
            (0.56, "", "start 5 polling carry"),
            (5.5, "", ""),
            (5.57, "", "stop 5"),
        ],
    )
    yield History(
        "Retry-After keeps a transport away; others come at once",
        (WS, LONG),
        [
            *opened_by_websocket(),
            (1.0, "lost 1 HTTP 503 after 20", "start 2 long_polling carry"),
            (1.1, "lost 2 HTTP 503 after 30", ""),
            (5.0, "", ""),
            (20.9, "", ""),
            (21.01, "", "start 3 websocket carry"),
        ],
    )
    yield History(
        "but no longer than a third of a session's life",
        (WS,),
        [
            *opened_by_websocket(),
            (1.0, "lost 1 HTTP 503 after 86400", ""),
            (54.0, "", ""),
            (54.5, "", "start 2 websocket carry"),
        ],
    )


def refusals() -> Iterator[History]:
    """What the server says about a carrier, without prejudice to the session."""
    yield History(
        "policy is no evidence, and costs no pause",
        (WS, XHR, LONG),
        [
            (0.0, "", "start 1 websocket carry"),
            (0.01, "refused 1 4406 not here", "start 2 long_polling carry"),
            (0.02, "opened", ""),
            (0.02, "attached 2", ""),
            (0.02, "calm", ""),
            (0.02, "answered 2 nothing", "start 3 xhr_streaming carry; test 3"),
            (0.03, "refused 3 4406 not here", "start 4 long_polling carry"),
            (300.0, "attached 4", ""),
            (300.0, "", ""),
        ],
    )
    yield History(
        "where every transport is refused as such there is no session",
        (WS, LONG),
        [
            (0.0, "", "start 1 websocket carry"),
            (0.01, "refused 1 4406 unknown endpoint", "start 2 long_polling carry"),
            (0.02, "refused 2 4406 unknown endpoint", "end 4406"),
        ],
    )
    for code in (4400, 4401, 4403, 4404, 4409, 4413):
        yield History(
            f"an open that is refused with {code} is not tried by another transport",
            (WS, LONG),
            [(0.0, "", "start 1 websocket carry"), (0.01, f"refused 1 {code} no", f"end {code}")],
            {"insists": False} if code == 4401 else {},
        )
    for code in (4408, 4429, 4503):
        for insists in (True, False):
            yield History(
                f"unless {code} says later" + ("" if insists else ": no caller has to try again either"),
                (WS, LONG),
                [
                    (0.0, "", "start 1 websocket carry"),
                    (0.01, f"refused 1 {code} later", ""),
                    (0.65, "", "start 2 websocket carry"),
                    (0.7, f"refused 2 {code} later after 7", ""),
                    (5.0, "", ""),
                    (7.71, "", "anew; start 3 websocket carry"),
                    (7.8, f"refused 3 {code} later after 60", ""),
                    (17.81, "", "anew; start 4 websocket carry"),
                    (17.9, f"refused 4 {code} later after 60", ""),
                    (27.91, "", "anew; start 5 websocket carry"),
                    (27.95, f"refused 5 {code} later", ""),
                    (30.01, "", "end 4411"),
                ],
                {} if insists else {"insists": False},
            )
        yield History(
            f"{code} in a session: it comes back later, by the same transport",
            (WS, LONG),
            [
                *opened_by_websocket(),
                (1.0, "lost 1 cut", "start 2 long_polling carry"),
                (1.1, f"refused 2 {code} later", ""),
                (1.71, "", "start 3 long_polling carry"),
                (1.8, f"refused 3 {code} later after 12", ""),
                (13.7, "", ""),
                (13.81, "", "start 4 long_polling carry"),
            ],
        )
    for code in (4400, 4403, 4405, 4413):
        yield History(
            f"{code} in a session rules the transport out; when none is left the session ends",
            (WS, LONG),
            [
                *opened_by_websocket(),
                (1.0, "lost 1 cut", "start 2 long_polling carry"),
                (1.1, f"refused 2 {code} no", "start 3 websocket carry"),
                (1.2, f"refused 3 {code} no", f"end {code}"),
            ],
        )
    yield History(
        "the auth data are renewed once, and then once more after a carrier has carried",
        (WS,),
        [
            *opened_by_websocket(),
            (1.0, "lost 1 cut", "start 2 websocket carry"),
            (1.1, "refused 2 4401 expired", "renew"),
            (2.0, "", ""),
            (3.0, "renewed", "start 3 websocket carry"),
            (3.1, "attached 3", ""),
            (4.0, "lost 3 cut", ""),
            (4.5, "", "start 4 websocket carry"),
            (5.0, "refused 4 4401 expired", "renew"),
            (6.0, "renewed", "start 5 websocket carry"),
            (7.0, "refused 5 4401 expired", "end 4401"),
        ],
    )


def upgrades() -> Iterator[History]:
    """While a lesser transport carries, better ones are tried beside it."""
    poll: list[Step] = [
        (0.0, "", "start 1 websocket carry"),
        (0.01, "lost 1 HTTP 403", "start 2 long_polling carry"),
        (0.1, "opened", ""),
        (0.1, "attached 2", ""),
        (0.1, "answered 2 nothing", "start 3 long_polling carry"),
        (0.1, "calm", ""),
        (1.11, "", ""),
    ]
    yield History(
        "failed probes are repeated ever more seldom",
        (WS, LONG),
        [
            *poll,
            (5.02, "", "start 4 websocket probe"),
            (5.1, "lost 4 HTTP 403", ""),
            (15.11, "", "start 5 websocket probe"),
            (20.12, "", "stop 5"),
            (40.0, "", ""),
            (40.13, "", "start 6 websocket probe"),
            (49.0, "", ""),
            (50.0, "proven 6", "take 6"),
            (50.1, "attached 6", "stop 3"),
            (90.0, "", ""),
        ],
        jitter=0.0,
    )
    yield History(
        "the pauses have jitter",
        (WS, LONG),
        [*poll, (5.9, "", ""), (6.1, "", "start 4 websocket probe")],
        jitter=1.0,
    )
    yield History(
        "a probe that was proven and then dies leaves the session to what is well",
        (WS, LONG),
        [
            *poll,
            (5.02, "", "start 4 websocket probe"),
            (5.1, "proven 4", "take 4"),
            (5.2, "lost 4 cut", "stop 3; start 5 long_polling carry"),
            (5.3, "attached 5", ""),
        ],
        jitter=0.0,
    )
    yield History(
        "a poll that is wanted more is probed, too, and a failure disturbs nothing",
        (PLAIN, LONG),
        [
            (0.0, "", "start 1 polling carry"),
            (0.1, "lost 1 HTTP 502", "start 2 long_polling carry"),
            (0.2, "opened", ""),
            (0.2, "attached 2", ""),
            (0.2, "answered 2 nothing", "start 3 long_polling carry"),
            (0.2, "calm", ""),
            (1.21, "", ""),
            (5.11, "", "start 4 polling probe"),
            (5.2, "lost 4 HTTP 502", ""),
            (15.21, "", "start 5 polling probe"),
            (15.3, "proven 5", "stop 5; start 6 polling carry"),
            (15.4, "attached 6", "stop 3"),
        ],
        jitter=0.0,
    )
    yield History(
        "no upgrade where the application wants none",
        (WS, LONG),
        [*poll, (60.0, "", ""), (60.0, "attached 3", ""), (60.0, "", "")],
        {"upgrade": False},
    )
    yield History(
        "nor while the session draws to an end",
        (WS, LONG),
        [*poll, (1.2, "calm no", ""), (5.02, "", ""), (6.0, "calm", "start 4 websocket probe")],
        jitter=0.0,
    )
    for code in (4401, 4403, 4406, 4429):
        steps: list[Step] = [
            *poll,
            (5.02, "", "start 4 websocket probe"),
            (5.1, f"refused 4 {code} no", "renew" if code == 4401 else ""),
        ]
        if code == 4429:
            steps += [(10.0, "", ""), (15.11, "", "start 5 websocket probe")]
        elif code != 4401:
            steps += [(100.0, "attached 3", ""), (300.0, "", "")]
        yield History(f"a probe that is refused with {code} ends nothing", (WS, LONG), steps, jitter=0.0)
    yield History(
        "the server's order counts, with the transport in use at its own place in it",
        (WS, XHR, LONG),
        [
            (0.0, "", "start 1 websocket carry"),
            (0.01, "opened", ""),
            (0.01, "rank long_polling websocket", ""),
            (0.01, "attached 1", ""),
            (0.01, "calm", ""),
            (1.02, "", "start 2 long_polling probe"),
            (1.1, "proven 2", "stop 2; start 3 long_polling carry"),
            (1.2, "attached 3", "stop 1"),
        ],
    )
    yield History(
        "from one stream to another nothing is won",
        (XHR, SSE, PLAIN),
        [
            (0.0, "", "start 1 polling carry"),
            (0.1, "opened", ""),
            (0.1, "attached 1", ""),
            (0.1, "answered 1 nothing", "start 2 xhr_streaming carry; test 2"),
            (0.2, "lost 2 cut", "start 3 sse carry; test 3"),
            (0.3, "attached 3", ""),
            (0.3, "calm", ""),
            (60.0, "", ""),
        ],
    )
    yield History(
        "where other sessions hold requests enough, what needs one waits until they don't",
        (XHR, LONG, PLAIN),
        [
            (0.0, "crowd", "start 1 polling carry"),
            (0.1, "opened", ""),
            (0.1, "attached 1", ""),
            (0.1, "answered 1 nothing", "start 2 polling carry"),
            (0.2, "attached 2", ""),
            (0.2, "answered 2 nothing", ""),
            (0.2, "calm", ""),
            (1.31, "", ""),
            (2.21, "", "start 3 polling carry"),
            (2.3, "attached 3", ""),
            (2.3, "answered 3 nothing", ""),
            (2.5, "crowd", ""),
            (3.0, "crowd no", ""),
            (4.01, "", "start 4 xhr_streaming probe; test 4"),
        ],
    )


def sends() -> Iterator[History]:
    """What goes up beside a stream or a held poll does not get through."""
    start: list[Step] = [
        (0.0, "", "start 1 sse carry"),
        (0.1, "opened", ""),
        (0.1, "attached 1", ""),
        (0.1, "calm", ""),
    ]
    failing: list[Step] = [(at, "post_failed HTTP 403", "") for at in (1.2, 1.3, 1.5, 1.9, 2.7)]
    yield History(
        "after six in a row the session moves to what brings them up by itself",
        (SSE, WS),
        [
            *start,
            *failing,
            (4.0, "post_failed HTTP 403", "start 2 websocket probe"),
            (4.1, "proven 2", "take 2"),
            (4.2, "attached 2", "stop 1"),
            (8.0, "", ""),
            (9.5, "", "start 3 sse probe; test 3"),
        ],
    )
    yield History(
        "one that got through is enough",
        (SSE, WS),
        [*start, *failing, (3.9, "post_answered", ""), (4.0, "post_failed HTTP 403", "")],
    )
    yield History(
        "and so is a message of ours that arrived by another way",
        (SSE, WS),
        [*start, *failing, (3.9, "delivered up", ""), (4.0, "post_failed HTTP 403", "")],
    )
    yield History(
        "where there is no other way the session ends",
        (SSE, LONG),
        [
            (0.0, "", "start 1 long_polling carry"),
            (0.1, "opened", ""),
            (0.1, "attached 1", ""),
            (0.1, "answered 1 nothing", "start 2 sse carry; test 2"),
            (0.2, "attached 2", ""),
            *[(1.0 + number * 9, "post_failed HTTP 403", "") for number in range(18)],
            (160.0, "", ""),
            (161.0, "post_failed HTTP 403", "end 4411"),
        ],
        {"upgrade": False},
    )


def networks() -> Iterator[History]:
    """The network comes back, or is another one; the page was put away."""
    yield History(
        "another network: what failed is forgotten, and what seems to live is started anew beside it",
        (WS, LONG),
        [
            *opened_by_websocket(),
            (1.0, "lost 1 cut", "start 2 long_polling carry"),
            (1.1, "attached 2", ""),
            (1.1, "answered 2 nothing", "start 3 long_polling carry"),
            (2.5, "online another", "start 4 long_polling carry; start 5 websocket probe"),
            (2.6, "proven 5", "stop 3; take 5"),
            (2.7, "attached 5", "stop 4"),
        ],
        jitter=0.0,
    )
    yield History(
        "the machine has slept: a carrier is started anew, and the old one goes on until that is attached",
        (WS, LONG),
        [
            *opened_by_websocket(),
            (100.0, "online same", "start 2 websocket carry"),
            (100.1, "delivered down", ""),
            (100.2, "attached 2", "stop 1"),
            (100.3, "lost 1 cut", ""),
        ],
    )
    yield History(
        "between two attempts: at once",
        (WS,),
        [
            *opened_by_websocket(),
            (1.0, "lost 1 cut", "start 2 websocket carry"),
            (2.0, "lost 2 reset", ""),
            (2.01, "online same", "start 3 websocket carry"),
        ],
    )
    yield History(
        "the page was put away, and comes back",
        (WS, LONG),
        [
            *opened_by_websocket(),
            (1.0, "waits", ""),
            (1.0, "dropped", ""),
            (60.0, "", ""),
            (70.0, "waits no", "start 2 websocket carry"),
        ],
    )


def details() -> Iterator[History]:
    """What is easily forgotten."""
    yield History(
        "what is told of a carrier that is unknown, or was one before, is ignored",
        (WS, LONG),
        [
            *opened_by_websocket(),
            *[
                (2.0, words, "")
                for words in (
                    *("attached 9", "alive 9", "tested 9 0.1", "proven 9", "answered 9 news", "superseded 9"),
                    *("recycled 9", "lost 9 cut", "refused 9 4403 no", "proven 1"),
                )
            ],
            (3.0, "online same", "start 2 websocket carry"),
            (3.1, "refused 1 4403 no", ""),
            (3.2, "online same", ""),
            (3.3, "attached 2", ""),
            (3.4, "online same", "start 3 websocket carry"),
            (3.5, "superseded 2", ""),
            (3.6, "attached 3", ""),
        ],
    )
    yield History(
        "a part of an answer is a sign of life of polls only",
        (WS,),
        [(0.0, "", "start 1 websocket carry"), (0.3, "", ""), (4.0, "alive 1", ""), (5.01, "", "stop 1")],
    )
    yield History(
        "a poll that took the place of a WebSocket counts as an attempt to open",
        (WS, LONG),
        [
            (0.0, "", "start 1 websocket carry"),
            (0.26, "", "start 2 long_polling open"),
            (0.3, "lost 1 reset", ""),
            (0.4, "lost 2 reset", ""),
            (0.5, "", "start 3 websocket carry"),
            (0.6, "lost 3 reset", "start 4 long_polling carry"),
            (0.7, "lost 4 reset", "end 4411"),
        ],
        {"insists": False},
    )
    yield History(
        "it takes the place of one that is refused, too",
        (WS, LONG),
        [
            (0.0, "", "start 1 websocket carry"),
            (0.26, "", "start 2 long_polling open"),
            (0.3, "refused 1 4406 not here", ""),
            (0.4, "opened", ""),
            (0.4, "attached 2", ""),
            (0.4, "answered 2 nothing", "start 3 long_polling carry"),
        ],
    )
    yield History(
        "a slow poll grants the WebSocket as much as it took itself",
        (WS, LONG),
        [
            (0.0, "", "start 1 websocket carry"),
            (0.26, "", "start 2 long_polling open"),
            (1.26, "opened", ""),
            (1.26, "attached 2", ""),
            (1.26, "superseded 2", ""),
            (2.2, "", ""),
            (2.27, "", "stop 1; start 3 long_polling carry"),
        ],
    )
    yield History(
        "the answer that opened the session was cut",
        (WS, LONG),
        [
            (0.0, "", "start 1 websocket carry"),
            (0.26, "", "start 2 long_polling open"),
            (0.36, "opened", ""),
            (0.36, "attached 2", ""),
            (0.36, "lost 2 cut", ""),
            (0.47, "", "stop 1; start 3 long_polling carry"),
        ],
    )
    yield History(
        "a probe goes on while polls come and go",
        (WS, LONG),
        [
            (0.0, "", "start 1 websocket carry"),
            (0.01, "lost 1 HTTP 403", "start 2 long_polling carry"),
            (0.1, "opened", ""),
            (0.1, "attached 2", ""),
            (0.1, "calm", ""),
            (0.1, "answered 2 nothing", "start 3 long_polling carry"),
            (1.11, "", ""),
            (5.02, "", "start 4 websocket probe"),
            (5.1, "attached 3", ""),
            (5.1, "answered 3 news", "start 5 long_polling carry"),
            (5.2, "proven 4", "take 4"),
            (5.3, "attached 4", "stop 5"),
        ],
        jitter=0.0,
    )
    yield History(
        "the patience of probes is their own, and is short again once one is proven",
        (WS, LONG),
        [
            (0.0, "", "start 1 websocket carry"),
            (0.01, "lost 1 HTTP 403", "start 2 long_polling carry"),
            (0.1, "opened", ""),
            (0.1, "attached 2", ""),
            (0.1, "calm", ""),
            (0.1, "answered 2 nothing", "start 3 long_polling carry"),
            (1.11, "", ""),
            (5.02, "", "start 4 websocket probe"),
            (10.03, "", "stop 4"),
            (20.04, "", "start 5 websocket probe"),
            (30.0, "", ""),
            (30.02, "proven 5", "take 5"),
            (30.1, "attached 5", "stop 3"),
            (31.0, "lost 5 cut", "start 6 long_polling carry"),
            (31.1, "attached 6", ""),
            (31.1, "answered 6 nothing", "start 7 long_polling carry"),
            (41.2, "", ""),
            (51.01, "", "start 8 websocket probe"),
            (56.02, "", "stop 8"),
        ],
        jitter=0.0,
    )
    yield History(
        "a WebSocket that was proven between two polls is what comes back after it",
        (WS, PLAIN),
        [
            (0.0, "", "start 1 websocket carry"),
            (0.01, "lost 1 HTTP 403", "start 2 polling carry"),
            (0.1, "opened", ""),
            (0.1, "attached 2", ""),
            (0.1, "calm", ""),
            (0.1, "answered 2 nothing", "start 3 polling carry"),
            (0.2, "attached 3", ""),
            (0.2, "answered 3 nothing", ""),
            (1.11, "", ""),
            (2.21, "", "start 4 polling carry"),
            (2.3, "attached 4", ""),
            (2.3, "answered 4 nothing", ""),
            (5.02, "", "start 5 websocket probe"),
            (5.1, "proven 5", "take 5"),
            (5.2, "attached 5", ""),
            (25.0, "lost 5 cut", "start 6 websocket carry"),
        ],
        jitter=0.0,
    )
    yield History(
        "a held poll that was superseded is followed after a pause",
        (LONG,),
        [
            (0.0, "", "start 1 long_polling carry"),
            (0.1, "opened", ""),
            (0.1, "attached 1", ""),
            (0.1, "answered 1 nothing", "start 2 long_polling carry"),
            (0.2, "superseded 2", ""),
            (0.51, "", "start 3 long_polling carry"),
        ],
    )
    yield History(
        "a stream that was recycled goes on, though another transport is wanted more and well again",
        (WS, SSE),
        [
            *opened_by_websocket(),
            (1.0, "lost 1 cut", "start 2 sse carry; test 2"),
            (1.1, "attached 2", ""),
            (2.0, "delivered down", ""),
            (2.2, "calm no", ""),
            (7.0, "recycled 2", "start 3 sse carry; test 3"),
            (7.1, "attached 3", ""),
            (7.2, "recycled 3", ""),
            (7.21, "news", ""),
            (7.28, "", "start 4 sse carry; test 4"),
        ],
    )
    yield History(
        "a carrier in use may be told that its auth data have expired",
        (WS, LONG),
        [
            *opened_by_websocket(),
            (5.0, "refused 1 4401 expired", "renew"),
            (6.0, "renewed", "start 2 websocket carry"),
            (6.1, "refused 2 4401 expired", "end 4401"),
        ],
    )
    yield History(
        "come back later: longer each time, but not after a third of a session's life",
        (WS,),
        [
            *opened_by_websocket(),
            (1.0, "lost 1 cut", "start 2 websocket carry"),
            (1.1, "refused 2 4503 later", ""),
            (1.71, "", "start 3 websocket carry"),
            (1.8, "refused 3 4503 later", ""),
            (3.01, "", "start 4 websocket carry"),
            (3.1, "refused 4 4503 later after 86400", ""),
            (56.0, "", ""),
            (56.5, "", "start 5 websocket carry"),
        ],
    )
    yield History(
        "of a probe as well",
        (WS, LONG),
        [
            (0.0, "", "start 1 websocket carry"),
            (0.01, "lost 1 HTTP 403", "start 2 long_polling carry"),
            (0.1, "opened", ""),
            (0.1, "attached 2", ""),
            (0.1, "calm", ""),
            (0.1, "answered 2 nothing", "start 3 long_polling carry"),
            (1.11, "", ""),
            (5.02, "", "start 4 websocket probe"),
            (5.1, "refused 4 4503 later after 20", ""),
            (6.1, "", ""),
            (25.0, "", ""),
            (25.11, "", "start 5 websocket probe"),
        ],
        jitter=0.0,
    )
    yield History(
        "something to send ends no other pause",
        (PLAIN,),
        [
            (0.0, "", "start 1 polling carry"),
            (0.1, "opened", ""),
            (0.1, "attached 1", ""),
            (0.1, "answered 1 nothing", "start 2 polling carry"),
            (0.2, "lost 2 cut", "start 3 polling carry"),
            (0.3, "lost 3 cut", ""),
            (0.31, "news", ""),
            (0.38, "", "start 4 polling carry"),
        ],
    )
    start: list[Step] = [
        (0.0, "", "start 1 sse carry"),
        (0.1, "opened", ""),
        (0.1, "attached 1", ""),
        (0.1, "calm", ""),
    ]
    failing: list[Step] = [(at, "post_failed HTTP 403", "") for at in (1.2, 1.3, 1.5, 1.9, 2.7)]
    yield History(
        "sends that do not get through move the session also where it wants no upgrade",
        (SSE, WS),
        [*start, *failing, (4.0, "post_failed HTTP 403", "start 2 websocket probe")],
        {"upgrade": False},
    )
    yield History(
        "and after a way up was found they are counted from the beginning",
        (SSE, WS),
        [
            *start,
            *failing,
            (4.0, "post_failed HTTP 403", "start 2 websocket probe"),
            (4.1, "proven 2", "take 2"),
            (4.2, "attached 2", "stop 1"),
            (5.3, "", ""),
            (9.8, "", "start 3 sse probe; test 3"),
            (9.9, "proven 3", "stop 3; start 4 sse carry; test 4"),
            (10.0, "attached 4", "stop 2"),
            *[(at + 10.0, words, then) for at, words, then in failing],
        ],
    )
    yield History(
        "nobody looks for another way up once a send has got through",
        (SSE, WS),
        [
            *start,
            *failing,
            (4.0, "post_failed HTTP 403", "start 2 websocket probe"),
            (4.1, "lost 2 reset", ""),
            (4.2, "post_answered", ""),
            (5.3, "", ""),
            (30.0, "", ""),
        ],
    )
    yield History(
        "a send heeds Retry-After; back online it does not",
        (SSE,),
        [
            *start,
            (1.2, "post_failed HTTP 503 after 7", ""),
            (2.0, "online same", "start 2 sse carry; test 2"),
            (2.1, "attached 2", "stop 1"),
            (2.2, "post_failed HTTP 503", ""),
            (2.3, "online same", "start 3 sse carry; test 3"),
            (2.4, "post_failed HTTP 503", ""),
        ],
    )
    yield History(
        "back online, failures and patience begin anew",
        (PLAIN,),
        [
            (0.0, "", "start 1 polling carry"),
            (0.1, "opened", ""),
            (0.1, "attached 1", ""),
            (0.1, "answered 1 nothing", "start 2 polling carry"),
            (5.11, "", "stop 2; start 3 polling carry"),
            (15.12, "", "stop 3"),
            (15.13, "online another", "start 4 polling carry"),
            (20.14, "", "stop 4; start 5 polling carry"),
        ],
    )
    yield History(
        "what has just been started is not started anew",
        (WS, LONG),
        [
            *opened_by_websocket(),
            (1.0, "lost 1 cut", "start 2 long_polling carry"),
            (1.1, "lost 2 cut", ""),
            (1.2, "", "start 3 websocket carry"),
            (1.3, "online another", ""),
            (1.4, "lost 3 reset", "start 4 long_polling carry"),
            (1.5, "online another", "start 5 long_polling carry"),
        ],
    )
    yield History(
        "nor what is to open the session",
        (LONG,),
        [(0.0, "", "start 1 long_polling carry"), (0.1, "online another", ""), (5.01, "", "stop 1")],
    )
    yield History(
        "a page that was put away between two polls starts with what it wants most",
        (WS, PLAIN),
        [
            (0.0, "", "start 1 websocket carry"),
            (0.01, "lost 1 HTTP 403", "start 2 polling carry"),
            (0.1, "opened", ""),
            (0.1, "attached 2", ""),
            (0.1, "answered 2 nothing", "start 3 polling carry"),
            (0.2, "delivered down", ""),
            (0.2, "attached 3", ""),
            (0.2, "answered 3 nothing", ""),
            (0.3, "waits", ""),
            (0.3, "dropped", ""),
            (60.0, "waits no", "start 4 websocket carry"),
            (60.1, "lost 4 reset", "start 5 polling carry"),
        ],
    )
    yield History(
        "a good life clears a transport",
        (WS, LONG),
        [
            *opened_by_websocket(),
            (1.0, "lost 1 cut", "start 2 long_polling carry"),
            (1.1, "attached 2", ""),
            (1.1, "answered 2 nothing", "start 3 long_polling carry"),
            (2.11, "", ""),
            (6.01, "", "start 4 websocket probe"),
            (6.2, "proven 4", "take 4"),
            (6.3, "attached 4", "stop 3"),
            (30.0, "lost 4 cut", "start 5 websocket carry"),
            (30.1, "attached 5", ""),
            (30.2, "lost 5 cut", ""),
            (30.28, "", "start 6 long_polling carry"),
            (30.3, "attached 6", ""),
            (30.3, "answered 6 nothing", "start 7 long_polling carry"),
            (31.31, "", ""),
            (35.21, "", "start 8 websocket probe"),
        ],
        jitter=0.0,
    )


def pairs() -> Iterator[History]:
    """For each two transports: opened on x, y is allowed later; lost on x, y is refused next."""
    for x, y in product(ALL, ALL):
        if x is y:
            continue

        def later(name: str, at: float, x: str = x[0]) -> str:
            return "well" if name == x or at > 8.0 else "lost reset"

        def refused(name: str, at: float, y: str = y[0]) -> str:
            return "refused 4406 not here" if name == y else "well"

        def cut(name: str, at: float, y: str = y[0]) -> str:
            return "lost reset" if name == y and at < 8.0 else "well"

        yield reactive(f"opened on {x[0]}, {y[0]} is allowed later", (y, x), later)
        yield reactive(f"lost on {x[0]}, {y[0]} is refused next", (x, y), refused, lost_at=6.0)
        yield reactive(f"lost on {x[0]}, {y[0]} fails next", (x, y), cut, lost_at=6.0)


def reactive(
    name: str,
    transports: Sequence[tuple[str, int]],
    network: Callable[[str, float], str],
    lost_at: float = FOREVER,
    until: float = 30.0,
) -> History:
    """What happens where each start has its answer a tenth of a second later, as `network` says of its transport then;
    and at `lost_at` the carrier in use is cut."""
    supervision = Supervision(transports, Rules(), lambda: 0.5, 0.0)
    kinds = dict(transports)
    steps: list[Step] = []
    coming: list[tuple[float, int, int, str]] = []  # when, in order, of which carrier, what
    count = itertools.count()

    def step(at: float, words: str) -> None:
        if words:
            happen(supervision, at, event_of(words))
        actions = [told(action) for action in supervision.turn(at)]
        steps.append((at, words, "; ".join(" ".join(map(str, action)) for action in actions)))
        for verb, *rest in actions:
            if verb == "start":
                answer(at, *rest)
            elif verb == "take":
                expect(at + 0.1, rest[0], f"attached {rest[0]}")
            elif verb == "stop":
                coming[:] = [entry for entry in coming if entry[2] != rest[0]]

    def expect(at: float, ident: int, words: str) -> None:
        coming.append((round(at, 6), next(count), ident, words))

    def answer(at: float, ident: int, transport: str, role: str) -> None:
        verdict = network(transport, at)
        opens = not supervision.is_open
        if verdict != "well":
            kind, words = verdict.split(" ", 1)
            expect(at + 0.1, ident, f"{kind} {ident} {words}")
            return
        if role == "probe":
            expect(at + 0.1, ident, f"proven {ident}")
            return
        took = 20.0 if kinds[transport] == HELD and not opens else 0.1
        if opens:
            expect(at + took, ident, "opened")
            expect(at + took, ident, "calm")
        expect(at + took, ident, f"attached {ident}")
        if kinds[transport] >= HELD:
            expect(at + took, ident, f"answered {ident} nothing")

    step(0.0, "")
    while True:
        coming.sort()
        due = supervision.deadline()
        at = min(coming[0][0] if coming else FOREVER, round(due + 2 * APART, 6) if due < FAR else due, lost_at)
        if abs(at - due) < APART:
            at = round(due + 2 * APART, 6)
        if at > until:
            return History(name, transports, steps)
        if at == lost_at:
            newest = supervision.newest
            lost_at = FOREVER if newest else at + 0.03  # between two polls there is none
            if newest is not None:
                coming = [entry for entry in coming if entry[2] != newest.id]
                step(at, f"lost {newest.id} cut")
        elif coming and coming[0][0] == at:
            step(at, coming.pop(0)[3])
        else:
            step(round(at, 6), "")


if __name__ == "__main__":
    VECTORS.write_text(text())
    sys.stdout.write(f"{VECTORS}: {sum(1 for _ in histories())} histories\n")
