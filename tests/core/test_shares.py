"""What a worker has of what is limited for all."""

from __future__ import annotations

from realtime.core.shares import Limit, Shares, total


def test_opens_of_one_session_count_once() -> None:
    shares = Shares()
    assert shares.count("ada") == 0
    for opening in ("nonce", "nonce", "other"):
        shares.begin("ada", opening)
    assert shares.count("ada") == 2
    assert shares.count("bob") == 0
    shares.end("ada", "nonce")
    assert shares.count("ada") == 2
    shares.end("ada", "nonce")
    assert shares.count("ada") == 1
    shares.end("ada", "other")
    assert shares.count("ada") == 0
    assert shares._openings == {}


def test_what_all_have_together() -> None:
    counts = {"me": 2, "you": 3, "dead": 4}
    assert total(counts, "me", None) == 9
    assert total(counts, "me", ["you", "another"]) == 5
    assert total(counts, "me", []) == 2
    assert total({}, "me", None) == 0
    assert Limit("ada", 3, "too many").most == 3
