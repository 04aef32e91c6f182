"""Exactly once, in order, both ways, or both sides told a code: many histories of the simulated world.

The seeds are fixed, so a failure repeats: `play(seed)` is the whole history. Each mutation of test_mutations.py is
found by one of the first 200, and those of rooms by one of the first ten; half as many again are played here, and of
rooms five times as many. `make histories` plays as many as one likes.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from realtime.core.frames import Dropped, RoomMessage, RoomPosition

from .simulation import App, ClientSocket, Pipe, World, draw_conditions, finish, play, speak_in_rooms

SEEDS = 300
CHUNK = 100
OF_ROOMS = 50


@pytest.mark.parametrize("start", range(0, SEEDS, CHUNK))
def test_histories(start: int) -> None:
    """Some conditions, some habits, an adversary, and the promises after every step and at the end."""
    for seed in range(start, start + CHUNK):
        try:
            play(seed)
        except Exception as error:
            error.add_note(f"in the history of seed {seed}")
            raise


def test_histories_of_rooms() -> None:
    """Messages with their positions, positions and gaps without one, for a client whose carriers are cut again and
    again: whatever it has taken, its cursors say how far that is."""
    heard: set[type] = set()
    for seed in range(OF_ROOMS):
        try:
            world = play(seed, speak_in_rooms)
        except Exception as error:
            error.add_note(f"in the history of seed {seed}")
            raise
        heard |= {type(item) for item in world.client.app.log}
    assert heard == {str, bytes, Dropped, RoomMessage, RoomPosition}


def test_forged_requests_are_made_in_the_histories() -> None:
    """What they change, which is nothing, each of them looks at: see World.forge()."""
    assert sum(play(seed).forged for seed in range(20)) > 100


def test_a_history_repeats() -> None:
    """The same seed is the same history, to the last event."""
    first, second = play(7), play(7)
    assert (first.steps, first.now, first.client.app.log) == (second.steps, second.now, second.client.app.log)


ENDS = st.sampled_from(["client", "server"])
KINDS = st.sampled_from(["websocket", "xhr_streaming", "sse", "multipart", "long_polling", "polling"])
RECENT = st.integers(1, 3)


class Histories(RuleBasedStateMachine):
    """The same world, with hypothesis as the adversary and as both applications."""

    world: World

    @initialize(seed=st.integers(0, 2**32), drops=st.booleans())
    def begin(self, seed: int, drops: bool) -> None:
        conditions = draw_conditions(random.Random(seed))
        conditions.begin, conditions.until = 0.0, float("inf")
        conditions.crash = False
        conditions.kinds = ("websocket", "xhr_streaming", "sse", "long_polling", "polling")
        conditions.max_stream_size = 300
        for habits in (conditions.server, conditions.client):
            habits.plan, habits.closes, habits.drops = 0, "never", drops
            habits.pace, habits.stalls = 5.0, (0.0, float("inf"))  # takes when told to
        self.world = World(conditions, seed)

    def _app(self, end: str) -> App | None:
        if end == "client":
            return self.world.client.app
        return self.world.session.app if self.world.session else None

    def _socket(self, recent: int) -> ClientSocket | None:
        sockets = self.world.client.sockets
        return sockets[-recent] if len(sockets) >= recent else None

    def _act(self, action: Callable[[], object]) -> None:
        action()
        self.world.settle()

    @property
    def alive(self) -> bool:
        return self.world.client.machine.outcome is None

    # the applications

    @rule(end=ENDS, size=st.sampled_from([1, 5, 30, 50, 200]), count=st.integers(1, 4), binary=st.booleans())
    def send(self, end: str, size: int, count: int, binary: bool) -> None:
        app = self._app(end)
        if app is not None:
            for _ in range(count):
                app.send(size, binary=binary)
            self.world.settle()

    @rule(end=ENDS, count=st.integers(1, 5))
    def take(self, end: str, count: int) -> None:
        app = self._app(end)
        if app is not None:
            self._act(lambda: app.take(count))

    @rule(end=ENDS, code=st.sampled_from([1000, 3001]), chance=st.integers(0, 3))
    def close(self, end: str, code: int, chance: int) -> None:
        app = self._app(end)
        if app is not None and not chance:
            self._act(lambda: app.close(code))

    # the network

    @precondition(lambda self: self.alive)
    @rule(kind=KINDS)
    def start(self, kind: str) -> None:
        self._act(lambda: self.world.client.start(kind))

    @precondition(lambda self: self.alive)
    @rule()
    def probe(self) -> None:
        self._act(self.world.client.probe)

    @rule(recent=RECENT)
    def cut(self, recent: int) -> None:
        socket = self._socket(recent)
        if socket is not None:
            self._act(lambda: self.world.cut(socket))

    @rule(recent=RECENT)
    def cut_a_stream(self, recent: int) -> None:
        streams = self.world.client.streams
        if len(streams) >= recent:
            self._act(lambda: self.world.cut_stream(streams[-recent]))

    @rule(recent=RECENT)
    def mute_a_stream(self, recent: int) -> None:
        for stream in self.world.client.streams[-recent:]:
            stream.down.mute = True

    @rule(recent=RECENT, up=st.booleans(), down=st.booleans())
    def mute(self, recent: int, up: bool, down: bool) -> None:
        for pipe in self._pipes(recent, up, down):
            pipe.mute = True

    @rule(recent=RECENT, up=st.booleans(), down=st.booleans(), wait=st.floats(0.1, 6))
    def hold(self, recent: int, up: bool, down: bool, wait: float) -> None:
        for pipe in self._pipes(recent, up, down):
            pipe.held_until = self.world.now + wait

    def _pipes(self, recent: int, up: bool, down: bool) -> list[Pipe]:
        socket = self._socket(recent)
        if socket is None:
            return []
        return [pipe for pipe, chosen in ((socket.up, up), (socket.down, down)) if chosen]

    @rule(recent=RECENT)
    def the_server_sees_a_poll_gone(self, recent: int) -> None:
        polls = self.world.client.polls
        if len(polls) >= recent:
            self._act(polls[-recent].request.gone)

    @rule()
    def drain(self) -> None:
        if self.world.now > 4:
            self._act(self.world.drain)

    @rule(seconds=st.sampled_from([0.01, 0.05, 0.3, 1.0, 3.0]))
    def wait(self, seconds: float) -> None:
        self.world.run(self.world.now + seconds)

    def teardown(self) -> None:
        """The network heals, the applications take, and everything has to end."""
        if not hasattr(self, "world"):
            return
        world = self.world
        for app in (world.client.app, *(session.app for session in world.server.all)):
            app.habits.stalls = (float("inf"), float("inf"))
        world.heal()
        world.run(world.now + 10, lambda: world.over)
        finish(world)


Histories.TestCase.settings = settings(
    max_examples=100,
    stateful_step_count=40,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestHistories = Histories.TestCase
