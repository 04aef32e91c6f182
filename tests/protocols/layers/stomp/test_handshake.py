"""Versions and heart-beats: what two ends agree on, and when what is due."""

from __future__ import annotations

import pytest

from realtime.core.errors import RemoteProtocolError
from realtime.core.machine import FOREVER
from realtime.protocols.layers.stomp.handshake import Beats, HeartBeat, choose_version


@pytest.mark.parametrize(
    ("accepted", "version"),
    [
        (None, "1.0"),
        ("1.0", "1.0"),
        ("1.0,1.1,2.0", "1.1"),
        ("1.2,1.1,1.0", "1.2"),
        (" 1.1 , 1.2 ", "1.2"),
        ("1.3", None),
        ("", None),
        ("12", None),
    ],
)
def test_the_highest_version_that_both_have(accepted: str | None, version: str | None) -> None:
    assert choose_version(accepted) == version


def test_what_a_header_says() -> None:
    assert HeartBeat.parse(None) == HeartBeat(0, 0)
    assert HeartBeat.parse("100, 2000") == HeartBeat(100, 2000)
    assert str(HeartBeat(100, 2000)) == "100,2000"
    for wrong in ("", "1", "1,2,3", "-1,0", "a,b", "1.5,2", "9" * 11 + ",0"):
        with pytest.raises(RemoteProtocolError, match="heart-beat is two numbers") as caught:
            HeartBeat.parse(wrong)
        assert caught.value.close_code == 1002


@pytest.mark.parametrize(
    ("ours", "theirs", "send", "hear"),
    [
        ((0, 0), (1000, 1000), 0.0, 0.0),
        ((1000, 1000), (0, 0), 0.0, 0.0),
        ((1000, 2000), (500, 3000), 3.0, 2.0),
        ((4000, 0), (500, 3000), 4.0, 0.0),
        ((0, 100), (500, 3000), 0.0, 0.5),
    ],
)
def test_how_often(ours: tuple[int, int], theirs: tuple[int, int], send: float, hear: float) -> None:
    beats = Beats(HeartBeat(*ours), HeartBeat(*theirs), 0.0)
    assert (beats.send_every, beats.hear_every) == (send, hear)
    assert bool(beats) == bool(send or hear)


def test_when() -> None:
    beats = Beats(HeartBeat(4000, 1000), HeartBeat(1000, 1000), 10.0)
    assert (beats.send_at, beats.silent_at, beats.deadline()) == (13.0, 12.0, 12.0)
    beats.heard(11.5)
    assert (beats.send_at, beats.silent_at, beats.deadline()) == (13.0, 13.5, 13.0)
    beats.sent(12.0)
    assert (beats.send_at, beats.deadline()) == (15.0, 13.5)
    never = Beats(HeartBeat(), HeartBeat(), 0.0)
    assert never.deadline() == never.send_at == never.silent_at == FOREVER
