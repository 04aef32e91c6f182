"""Which carrier a client starts, and when: the histories that both clients are held to, and what is true of all."""

from __future__ import annotations

import json
import random
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.core.attempts import LONGEST, NONCE_END, NONCE_LIFE
from realtime.core.choice import DUPLEX, FOREVER, HELD, POLL, STREAM, Rules
from realtime.core.supervision import Supervision

from .supervision_histories import ALL, SERVER, VECTORS, play, text

VECTOR_LIST: list[dict[str, Any]] = json.loads(VECTORS.read_text())


def test_the_vectors_are_the_histories() -> None:
    """Whoever changes the policy runs `python -m tests.core.supervision_histories`, and reads what has changed."""
    assert VECTORS.read_text() == text()
    names = [vector["name"] for vector in VECTOR_LIST]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("vector", VECTOR_LIST, ids=lambda vector: vector["name"])
def test_history(vector: dict[str, Any]) -> None:
    assert play(vector) == vector["steps"]


@pytest.mark.parametrize(
    "vector", [v for v in VECTOR_LIST if " is allowed later" in v["name"]], ids=lambda vector: vector["name"]
)
def test_what_is_allowed_later_is_moved_to(vector: dict[str, Any]) -> None:
    """Unless nothing is won: from one stream to another."""
    wanted, other = vector["transports"]
    starts = [action for step in vector["steps"] for action in step["actions"] if action[0] in ("start", "take")]
    last = starts[-1]
    expected = other if wanted[1] == other[1] == STREAM else wanted
    name = last[2] if last[0] == "start" else next(start[2] for start in starts if start[1] == last[1])
    assert name == expected[0]
    assert last[-1] != "probe"


@pytest.mark.parametrize(
    "vector", [v for v in VECTOR_LIST if v["name"].startswith("lost on ")], ids=lambda vector: vector["name"]
)
def test_what_is_lost_comes_back(vector: dict[str, Any]) -> None:
    """Whatever is refused or fails next: the session is carried by the first again, within two seconds."""
    (first, _), (second, _) = vector["transports"]
    steps = [step for step in vector["steps"] if step["at"] >= 6.0]
    (lost_at,) = {step["at"] for step in steps if step["event"][2:] == ["cut"]}
    starts = [(step["at"], action) for step in steps for action in step["actions"] if action[0] == "start"]
    back = [at for at, action in starts if action[2] == first and action[3] == "carry"]
    assert back
    assert back[0] - lost_at < 2.0
    refused = vector["name"].endswith("is refused next")
    assert sum(action[2] == second for _, action in starts) <= (1 if refused else 3)  # policy is asked once


# -- what is true of all histories -------------------------------------------------------------------------------------


class World:
    """A session's carriers, and whatever may happen to them: a model of a shell that believes nothing of the policy."""

    def __init__(self, seed: int) -> None:
        rnd = self.rnd = random.Random(seed)
        names = rnd.sample(ALL, rnd.randint(1, 5))
        self.rules = Rules(
            attach_timeout=rnd.choice([0.5, 5.0]),
            race_delay=rnd.choice([0.0, 0.25]),
            backoff=rnd.choice([(0.1, 10.0), (0.01, 0.05)]),
            upgrade_interval=rnd.choice([(5.0, 300.0), (0.02, 0.1)]),
            upgrade=rnd.random() < 0.9,
            insists=rnd.random() < 0.5,
        )
        self.now = 1000.0
        self.supervision = Supervision(names, self.rules, rnd.random, self.now)
        self.kinds = dict(names)
        self.alive: dict[int, tuple[str, str]] = {}  # id -> transport, role
        self.attached: set[int] = set()
        self.ended = False
        self.renewing = False
        self.idle_since = self.now  # since when nothing has been under way
        self.nonce_since: float | None = None  # the first open by it
        self.answering: set[int] = set()  # of which a part has come

    def turn(self) -> None:
        """A turn, and what has to hold of it."""
        supervision = self.supervision
        for action in supervision.turn(self.now):
            assert not self.ended, f"{action} after the end"
            getattr(self, str(action[0]))(*action[1:])
        connecting = [ident for ident in self.alive if ident not in self.attached]
        roles = [self.alive[ident][1] for ident in connecting]
        assert roles.count("probe") + roles.count("open") <= 1
        assert roles.count("carry") <= 2  # the newest, and the one it has replaced
        assert len(self.alive) <= 3
        if supervision.is_open:
            assert "open" not in [role for _, role in self.alive.values()] or not supervision.newest or connecting
        for ident, (_, role) in self.alive.items():
            if not (self.ended or supervision.is_open or role == "probe" or ident in self.answering):
                assert self.nonce_since is not None
                assert self.now < self.nonce_since + NONCE_END, "an open that outlasts its nonce"
        assert supervision.deadline() > self.now, "a busy loop"
        for carrier in (supervision.newest, supervision.beside):
            if carrier is not None and not carrier.attached and not self.ended:
                assert supervision.deadline() <= carrier.late_at, "a carrier that may be late for ever"
        assert supervision.turn(self.now) == [], "a turn that was not finished"
        if self.alive:
            self.idle_since = self.now
        elif not self.ended and not self.renewing:
            # Something comes next, within the longest pause of all.
            longest = max(self.rules.backoff[1], SERVER[2][1], SERVER[0] * LONGEST if supervision.is_open else 0.0)
            assert supervision.deadline() <= self.idle_since + longest + 100.0 * (not supervision.is_open)

    def start(self, ident: int, name: str, role: str) -> None:
        assert ident not in self.alive
        assert name in self.kinds
        assert role in ("carry", "open", "probe")
        if role == "open":
            assert not self.supervision.is_open
            assert self.kinds[name] >= HELD
        if role == "probe":
            assert self.supervision.is_open
        elif not self.supervision.is_open:
            self.nonce_since = self.now if self.nonce_since is None else self.nonce_since
            assert self.now - self.nonce_since <= NONCE_LIFE, "an open by a nonce that is old"
        self.alive[ident] = name, role

    def test(self, ident: int) -> None:
        assert self.kinds[self.alive[ident][0]] == STREAM

    def stop(self, ident: int) -> None:
        assert ident in self.alive  # never twice, and nothing that has ended
        self.gone(ident)

    def take(self, ident: int) -> None:
        name, role = self.alive[ident]
        assert role == "probe"
        assert self.kinds[name] == DUPLEX
        self.alive[ident] = name, "carry"

    def anew(self) -> None:
        assert not self.alive  # what opened by the old one was let go of
        assert not self.supervision.is_open
        self.nonce_since = None

    def renew(self, reason: str) -> None:
        assert not self.renewing
        self.renewing = True

    def end(self, code: int, reason: str) -> None:
        assert reason
        self.ended = True

    def happen(self) -> None:
        """Anything, at any time: also what a good shell would not tell."""
        supervision, rnd = self.supervision, self.rnd
        ident = rnd.choice([*self.alive, rnd.randint(1, 50)]) if rnd.random() < 0.95 else rnd.randint(1, 50)
        kind = self.kinds[self.alive[ident][0]] if ident in self.alive else rnd.choice([DUPLEX, STREAM, HELD, POLL])
        match rnd.randint(0, 15):
            case 0 | 1 | 2 | 3:
                if self.alive.get(ident, ("", ""))[1] == "probe":
                    supervision.proven(self.now, ident)
                elif ident in self.alive:
                    supervision.opened(self.now, *SERVER)
                    supervision.attached(self.now, ident)
                    self.attached.add(ident)
                    if kind >= HELD:
                        supervision.answered(self.now, ident, rnd.random() < 0.5)
                        self.gone(ident)
            case 4 | 5 | 6:
                supervision.lost(self.now, ident, "cut", rnd.choice([0.0, 0.0, 0.0, 3.0, 86400.0]))
                self.gone(ident)
            case 7:
                code = rnd.choice([4400, 4401, 4403, 4406, 4408, 4409, 4413, 4429, 4503])
                supervision.refused(self.now, ident, code, "no", rnd.choice([0.0, 5.0]))
                self.gone(ident)
            case 8:
                supervision.superseded(self.now, ident)
                self.gone(ident)
            case 9:
                supervision.recycled(self.now, ident)
                self.gone(ident)
            case 10:
                supervision.delivered(self.now, rnd.random() < 0.5)
            case 11:
                supervision.tested(self.now, ident, rnd.random())
                supervision.alive(self.now, ident)
                self.answering.add(ident)
            case 12:
                if rnd.random() < 0.5:
                    supervision.post_failed(self.now, "HTTP 403", rnd.choice([0.0, 0.0, 5.0]))
                    assert supervision.post_at <= self.now + SERVER[0] or not supervision.is_open
                else:
                    supervision.post_answered(self.now)
            case 13:
                supervision.online(self.now, rnd.random() < 0.5)
            case 14:
                supervision.calm = supervision.is_open
                supervision.news(self.now)
                supervision.contact = self.now
            case _:
                if self.renewing:
                    supervision.renewed(self.now)
                    self.renewing = False

    def gone(self, ident: int) -> None:
        if ident in self.alive:
            self.idle_since = self.now
        self.alive.pop(ident, None)
        self.attached.discard(ident)

    def go_on(self) -> None:
        """To the next deadline, or a bit of the way."""
        due = self.supervision.deadline()
        if due < FOREVER and self.rnd.random() < 0.6:
            self.now = due
        else:
            self.now += self.rnd.expovariate(4.0)


@settings(max_examples=3 * settings().max_examples, deadline=None)
@given(st.integers(0, 2**32))
def test_whatever_happens(seed: int) -> None:
    """Never more carriers than there are places, nothing after the end, no busy loop, no stop."""
    world = World(seed)
    world.turn()
    for _ in range(80):
        world.go_on()
        if world.rnd.random() < 0.7:
            world.happen()
        world.turn()
        if world.ended:
            assert world.supervision.deadline() == FOREVER


@pytest.mark.parametrize("names", [ALL, ALL[:1], ALL[1:3], ALL[3:]], ids=lambda names: "-".join(n for n, _ in names))
@pytest.mark.parametrize("fault", ["lost", "attached and lost", "mute", "recycled", "superseded", "refused"])
def test_a_network_that_lets_nothing_through_is_asked_ever_more_seldom(
    names: tuple[tuple[str, int], ...], fault: str
) -> None:
    """In ten minutes of a fault, whichever: a hundred attempts or so, not thousands; and never a pause for ever."""
    supervision = Supervision(names, Rules(), lambda: 0.5, 0.0)
    starts: list[float] = []

    def turn(now: float) -> list[int]:
        return [int(action[1]) for action in supervision.turn(now) if action[0] == "start"]

    (first,) = turn(0.0)
    supervision.opened(0.1, *SERVER)
    supervision.attached(0.1, first)
    supervision.lost(1.0, first, "cut")
    now = 1.0
    while now < 600.0:
        supervision.contact = now  # the machine would end the session for want of contact
        started = turn(now)
        starts += [now] * len(started)
        for ident in started:
            now += 0.01
            if fault in ("attached and lost", "recycled"):
                supervision.attached(now, ident)
            if fault in ("lost", "attached and lost"):
                supervision.lost(now, ident, "reset")
            elif fault == "recycled":
                supervision.recycled(now, ident)
            elif fault == "superseded":
                supervision.superseded(now, ident)
            elif fault == "refused":
                supervision.refused(now, ident, 4503, "later")
        if not started:
            now = supervision.deadline()
    assert 10 < len(starts) < 150
    assert max(later - earlier for earlier, later in pairwise(starts)) < 70.0


def test_a_third_of_a_life_is_the_longest_pause() -> None:
    """Whatever Retry-After says: there is time for two more attempts."""
    supervision = Supervision([("websocket", DUPLEX)], Rules(), lambda: 0.9, 0.0)
    supervision.turn(0.0)
    supervision.opened(0.1, *SERVER)
    supervision.attached(0.1, 1)
    supervision.refused(1.0, 1, 4503, "later", 1e9)
    supervision.turn(1.0)
    assert 1.0 < supervision.deadline() <= 1.0 + SERVER[0] / 3


def test_what_is_known_of_the_transports() -> None:
    supervision = Supervision(ALL, Rules(race_delay=9.0), lambda: 0.5, 0.0)
    supervision.turn(0.0)
    supervision.lost(0.5, 1, "reset")
    supervision.turn(0.5)
    supervision.refused(0.75, 2, 4406, "not here")
    supervision.turn(0.75)
    supervision.opened(1.0, *SERVER)
    supervision.attached(1.0, 3)
    choice = supervision.choice
    assert choice.attempts == {"websocket": "reset", "long_polling": "not here"}
    assert choice.ruled_out == {"long_polling": "not here"}
    assert choice.timings == {"polling": 0.25}
    assert choice.history(1.5) == {"websocket": ("reset", 1.0)}  # policy is none
    assert supervision.current == "polling"


def on_websocket() -> Supervision:
    """A session that a WebSocket carries."""
    supervision = Supervision(ALL, Rules(), lambda: 0.5, 0.0)
    supervision.turn(0.0)
    supervision.opened(0.1, *SERVER)
    supervision.attached(0.1, 1)
    assert supervision.turn(0.1) == []
    return supervision


def test_the_application_wants_another_transport() -> None:
    supervision = on_websocket()
    supervision.switch(1.0, "polling")
    assert supervision.turn(1.0) == [("start", 2, "polling", "carry")]
    supervision.attached(1.1, 2)
    supervision.answered(1.1, 2, news=False)
    assert supervision.turn(1.1) == [("stop", 1)]
    supervision.switch(1.2, "long_polling")  # between two polls: not the next of those
    assert supervision.turn(1.2) == [("start", 3, "long_polling", "carry")]
    supervision.switch(1.3, "websocket")
    supervision.switch(1.4, "websocket")
    assert supervision.turn(1.4) == [
        ("start", 4, "websocket", "probe"),
        ("stop", 4),
        ("start", 5, "websocket", "probe"),
    ]
    supervision.proven(1.5, 3)  # no probe
    supervision.proven(1.5, 5)
    assert supervision.turn(1.5) == [("take", 5)]
    supervision.over(2.0)
    supervision.switch(2.0, "polling")
    assert supervision.turn(2.0) == []


def test_the_answer_that_opened_the_session_was_cut() -> None:
    """Of the poll beside a WebSocket: there is a session all the same, and the WebSocket has its grace."""
    supervision = Supervision(ALL, Rules(), lambda: 0.5, 0.0)
    supervision.turn(0.0)
    assert supervision.turn(0.25) == [("start", 2, "long_polling", "open")]
    supervision.opened(0.35, *SERVER)
    supervision.attached(0.35, 2)
    supervision.lost(0.35, 2, "cut")
    assert supervision.turn(0.35) == []
    assert supervision.deadline() == pytest.approx(0.45)
    assert supervision.turn(0.46)[0] == ("stop", 1)
