"""Eager tasks (asyncio.eager_task_factory, Python 3.12+), also where Python has none."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

__all__ = ["eager_task_factory"]


def _imitated(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **options: Any) -> Any:
    """A task that makes its first step at once, as the tasks of that factory do."""
    steps: list[Any] = []
    soon = loop.call_soon
    loop.call_soon = lambda step, *args, **kwargs: steps.append(step)  # type: ignore[method-assign,assignment]
    try:
        task = asyncio.tasks._PyTask(coroutine, loop=loop, **options)  # type: ignore[attr-defined]
    finally:
        loop.call_soon = soon  # type: ignore[method-assign]
    (step,) = steps
    around = asyncio.current_task(loop)
    if around is not None:
        asyncio.tasks._leave_task(loop, around)
    try:
        step()
    finally:
        if around is not None:
            asyncio.tasks._enter_task(loop, around)
    return task


eager_task_factory: Any = getattr(asyncio, "eager_task_factory", _imitated)
