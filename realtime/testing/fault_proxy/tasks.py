"""Ending tasks."""

from __future__ import annotations

import asyncio
from typing import Any


async def reap(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait until they are over. What they raise is dropped."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
