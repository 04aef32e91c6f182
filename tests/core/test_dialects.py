"""What dialects have in common."""

from __future__ import annotations

from realtime.core.dialects import Dialect


def test_a_dialect_has_no_path_of_its_own_unless_it_says_so() -> None:
    assert Dialect().route == ""
