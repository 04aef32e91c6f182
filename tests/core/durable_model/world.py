"""Time and processes. A process is a generator that yields how long it sleeps, or what it waits for."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, TypeAlias

from ..rooms_model import Violation, World

__all__ = ["Future", "Host", "Process", "Violation", "World"]


class Future:
    """What becomes known once."""

    def __init__(self) -> None:
        self.done = False
        self.value: Any = None
        self._calls: list[Callable[[Any], object]] = []

    def set(self, value: Any) -> None:
        if not self.done:
            self.done, self.value = True, value
            for call in self._calls:
                call(value)

    def then(self, call: Callable[[Any], object]) -> None:
        if self.done:
            call(self.value)
        else:
            self._calls.append(call)


Process: TypeAlias = Generator[float | Future, Any, None]


class Host:
    """What dies together, and is paused together."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.alive = True
        self.paused = 0.0
        self._backlog: list[Callable[[], object]] = []

    def after(self, delay: float, call: Callable[[], object]) -> None:
        self.world.after(delay, lambda: self._due(call))

    def _due(self, call: Callable[[], object]) -> None:
        if not self.alive:
            return
        if self._backlog or self.paused > self.world.now:
            self._backlog.append(call)
            if len(self._backlog) == 1:
                self.world.at(self.paused, self._resume)
        else:
            call()

    def _resume(self) -> None:
        if self.paused > self.world.now:
            self.world.at(self.paused, self._resume)
            return
        backlog, self._backlog = self._backlog, []
        for call in backlog:
            if self.alive:
                call()

    def run(self, process: Process, lives: Callable[[], bool] = lambda: True) -> None:
        """Plays it until its end, its host's, or that of what else it belongs to."""

        def step(value: Any = None) -> None:
            if not lives():
                process.close()
                return
            try:
                wanted = process.send(value)
            except StopIteration:
                return
            if isinstance(wanted, Future):
                wanted.then(lambda value: self.after(0, lambda: step(value)))
            else:
                self.after(wanted, step)

        self.after(0, step)
