"""What several workers and their parent have to agree about: the room of the ticks, and where the broker is said."""

from __future__ import annotations

from typing import Any

__all__ = ["BROKER", "PATH", "PREFIX", "ROOM", "RULES"]

# The variables of a worker's environment.
BROKER = "REALTIME_DEMO_BROKER"
PREFIX = "REALTIME_DEMO_PREFIX"
# The endpoint, below the prefix, and its room with what it keeps.
PATH = "/ticks"
ROOM = "ticks"
RULES: dict[str, Any] = {"history": 1000, "ttl": 600.0}
