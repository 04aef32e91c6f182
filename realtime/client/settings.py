"""What connect() was told."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from yarl import URL

__all__ = ["Settings"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What connect() was told. Times in seconds."""

    url: URL
    # Most wanted first, where the application does not say: what every network may need, and of the streams the two
    # that differ.
    transports: tuple[str, ...] = ("websocket", "xhr_streaming", "sse", "long_polling", "polling")
    headers: Mapping[str, str] = field(default_factory=dict)
    auth: Any = None  # any JSON, or a callable that returns it
    cursors: Mapping[str, str] = field(default_factory=dict)  # of rooms, from earlier sessions
    http: aiohttp.ClientSession | None = None
    upgrade: bool = True
    race_delay: float = 0.25  # how long a WebSocket has to itself at opening, before HTTP is tried beside it
    open_timeout: float = 30.0  # for opening, all transports together
    attach_timeout: float = 5.0  # for one carrier to open or attach
    post_timeout: float = 10.0  # for an uplink batch to be answered
    backoff: tuple[float, float] = (0.1, 10.0)  # between failed attempts: first, longest
    upgrade_interval: tuple[float, float] = (5.0, 300.0)  # between failed upgrades: first, longest

    def pause(self, failures: int) -> float:
        """How many seconds to wait after so many failures beyond the first: more each time, with jitter."""
        least, most = self.backoff
        return min(least * 2.0 ** min(failures, 60), most) * (0.5 + random.random() / 2)
