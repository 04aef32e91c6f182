"""Ending tasks."""

from __future__ import annotations

import asyncio
from typing import Any


async def reap(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait until they are over, and whoever was to be told of it has been. What they raise is
    dropped."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    if tasks:  # newer Pythons don't wait where all have been over before
        await asyncio.sleep(0)
