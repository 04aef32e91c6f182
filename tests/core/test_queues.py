"""What stands in the place of empty queues."""

from __future__ import annotations

import sys
from collections import deque

import pytest

from realtime.core.queues import EMPTY


def test_it_is_empty_and_stays_so() -> None:
    EMPTY.append("lost")
    assert not EMPTY
    assert list(EMPTY) == []
    with pytest.raises(IndexError):
        EMPTY.popleft()


def test_a_real_one_is_not_small() -> None:
    """Why there is this one."""
    assert sys.getsizeof(deque()) > 500
