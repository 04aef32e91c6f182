"""A queue that takes no room while it is empty. An empty deque takes 760 bytes, and an idle session would have six."""

from __future__ import annotations

from collections import deque
from typing import Any

__all__ = ["EMPTY"]

# In the place of every deque that has nothing: whoever appends puts a real one there before, and it may be put back
# where one is empty again. What is appended to this one is lost.
EMPTY: deque[Any] = deque(maxlen=0)
