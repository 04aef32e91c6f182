"""The demo's processes, forked: what each would import is imported once for all tests.

`fresh` in conftest.py has a test start them as a visitor's demo does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator
from typing import Any

import pytest

from realtime.demo import child

from ..cli.forks import Fork, Forks

__all__ = ["forked"]


class _Asyncio:
    """What child.py takes from asyncio, but for how a process is started."""

    def __init__(self, forks: Forks) -> None:
        self._forks = forks

    async def create_subprocess_exec(
        self, python: str, option: str, module: str, *arguments: str, env: dict[str, str], **streams: Any
    ) -> Fork:
        assert option == "-m"
        with os.fdopen(os.dup(2), "wb") as errors:
            return await self._forks.start([*arguments], None, None, errors, module=module, environment=env)

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)


@contextlib.contextmanager
def forked() -> Iterator[None]:
    """While the block runs they are."""
    forks = Forks(dict(os.environ))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(child, "asyncio", _Asyncio(forks))
        try:
            yield
        finally:
            forks.close()
