"""The words a server is observed in: they are labels of metrics, and must stay."""

from __future__ import annotations

from realtime.core.observer import Cause, Result


def test_the_words() -> None:
    assert list(Cause) == ["open", "next", "resume", "upgrade", "downgrade", "repeated", "late"]
    assert list(Result) == ["returned", "raised", "cancelled"]
