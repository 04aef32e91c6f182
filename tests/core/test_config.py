"""Settings are checked when made, and say which is wrong."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any

import pytest

from realtime.core.config import ESCAPED, HOLD_WITHOUT_PINGS, INITIAL_WINDOW, LONGEST, MOST, OPEN_SIZE, Config
from realtime.core.errors import LocalProtocolError
from realtime.core.frames import Window


def test_the_defaults_are_those_of_the_protocol() -> None:
    config = Config()
    assert config.open_timeout == 15
    assert config.resume_window == 120
    assert config.window == Window(256, 1_048_576)
    assert Window(16, 65_536) == INITIAL_WINDOW
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.max_size = 1  # type: ignore[misc] # that is what is tested


def test_a_misspelt_setting_raises() -> None:
    with pytest.raises(TypeError, match="max_sise"):
        Config(max_sise=1)  # type: ignore[call-arg] # that is what is tested


INF = float("inf")
NAN = float("nan")


@pytest.mark.parametrize(
    ("name", "wrong", "least"),
    [
        ("max_size", 0, 1),
        ("max_outbox", 0, 1),
        ("max_outbox_size", -1, 1),
        ("max_batch_size", 0, 1),
        ("max_stream_size", 4095, 4096),
        ("max_batch", 2, 3),
        ("max_queue", 15, 16),
        ("max_queue_size", 65_535, 65_536),
        ("resume_window", 0, 0.001),
        ("resume_window", INF, 1e9),
        ("resume_window", NAN, 1),
        ("open_timeout", -1.0, 0.5),
        ("close_timeout", 0, 0.5),
        ("request_timeout", 0, 0.5),
        ("ping_interval", 0, 0.5),
        ("ping_interval", INF, None),
        ("ping_timeout", -1, None),
        ("max_sessions", 0, 1),
        ("max_sessions", -1, None),
        ("max_sessions_per_identity", 0, 1),
        ("max_sessions_per_identity", -1, None),
        ("max_sessions_per_address", 0, 1),
        ("max_sessions_per_address", -1, None),
        ("opens_per_second_per_address", 0, 0.1),
        ("opens_per_second_per_address", INF, None),
        ("max_message_rate", 0, 0.1),
        ("max_message_rate", NAN, None),
        ("max_byte_rate", -1, 1),
        ("max_byte_rate", INF, None),
        ("rate_burst", 0, 0.1),
        ("rate_burst", INF, 60),
        ("on_rate", "explode", "close"),
        ("authorize_ttl", -1, 0),
        ("authorize_ttl", INF, 3600),
        ("max_tombstones", -1, 0),
        ("on_full", "explode", "drop_oldest"),
        ("poll_interval", (0, 1), (0.01, 1)),
        ("poll_interval", (2, 1), (1, 1)),
        ("poll_interval", (1, 45.1), (1, 45)),
        ("transports", (), ("polling",)),
    ],
)
def test_limits(name: str, wrong: Any, least: Any) -> None:
    with pytest.raises(LocalProtocolError, match=f"^{name}="):
        Config(**{name: wrong})
    assert getattr(Config(**{name: least}), name) == least


SIZES = ("max_size", "max_queue", "max_queue_size", "max_batch", "max_batch_size", "max_stream_size", "max_auth_size")
OF_OUTBOXES = ("max_outbox", "max_outbox_size")
TIMES = ("ping_interval", "ping_timeout", "resume_window")


@pytest.mark.parametrize(
    ("name", "most"), [(name, MOST) for name in SIZES + OF_OUTBOXES] + [(name, LONGEST) for name in TIMES]
)
def test_the_largest_of_what_clients_have_to_reckon_with(name: str, most: Any) -> None:
    Config(**{name: most})
    with pytest.raises(LocalProtocolError, match=f"^{name}=.* at most "):
        Config(**{name: most + 1})


def test_a_message_of_max_size_passes_a_rate_that_closes() -> None:
    with pytest.raises(LocalProtocolError, match=r"^max_byte_rate=1000: .* max_size"):
        Config(max_byte_rate=1000, on_rate="close")
    assert Config(max_byte_rate=1000, on_rate="close", max_size=5000).max_size == 5000
    assert Config(max_byte_rate=1000).on_rate == "slow"


def test_a_body_has_room_for_the_largest_message_with_every_character_escaped() -> None:
    assert Config(max_size=1000, max_batch_size=10).max_body >= 6 * 1000 + len('["m"]')
    assert Config(max_size=1, max_batch_size=100_000).max_body >= 6 * 100_000


def test_an_answer_has_room_for_a_full_window_with_every_character_escaped() -> None:
    for config in (Config(), Config(max_queue=10_000, max_queue_size=65_536, max_size=1), Config(max_size=5_000_000)):
        each = '"m' + '"' + ","
        assert config.max_answer >= 6 * config.max_queue_size + len(each) * config.max_queue
        assert config.max_answer >= 6 * config.max_size + len(each)


@pytest.mark.parametrize(
    ("interval", "timeout", "liveness", "silence", "hold"),
    [
        (20.0, 5.0, 25.0, 25.0, 20.0),
        (20.0, None, 20.0, INF, 20.0),
        (None, 5.0, 0.0, INF, HOLD_WITHOUT_PINGS),
        (None, None, 0.0, INF, HOLD_WITHOUT_PINGS),
    ],
)
def test_sums_of_times(
    interval: float | None, timeout: float | None, liveness: float, silence: float, hold: float
) -> None:
    config = Config(ping_interval=interval, ping_timeout=timeout, resume_window=100)
    assert config.liveness == liveness
    assert config.silence == silence
    assert config.hold == hold
    assert config.lifetime == 100 + liveness


def test_who_has_not_named_a_session_may_send_an_open_and_the_initial_window() -> None:
    config = Config()
    room = ESCAPED * (OPEN_SIZE + config.max_auth_size + INITIAL_WINDOW.size)
    assert config.max_open_body == min(config.max_body, room)
    small = Config(max_size=1, max_batch_size=1, max_auth_size=2)
    assert small.max_open_body == small.max_body < room


def test_copies_know_what_follows_from_the_settings() -> None:
    config = Config(max_size=5, ping_interval=3)
    for again in (copy.deepcopy(config), pickle.loads(pickle.dumps(config))):  # our own
        assert again == config
        assert (again.max_body, again.hold) == (config.max_body, 3)
