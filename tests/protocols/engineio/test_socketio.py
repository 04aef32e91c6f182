"""What an endpoint may say of its Socket.IO clients."""

from __future__ import annotations

from typing import Any

import pytest

from realtime.core.errors import LocalProtocolError
from realtime.protocols.engineio.options import EngineIO
from realtime.protocols.engineio.socketio import SocketIO


def test_they_are_those_of_engineio_and_one_more() -> None:
    options = SocketIO()
    assert (options.path, options.route, options.connect_timeout) == ("/socket.io/", "/socket.io", 45.0)
    assert isinstance(options, EngineIO)
    assert options.ping_interval == EngineIO().ping_interval
    assert options.recovery is None
    assert SocketIO.of("/s") == SocketIO(path="/s")
    assert SocketIO.of(options) is options
    assert SocketIO(transports="polling").transports == ("polling",)  # type: ignore[arg-type] # one alone


@pytest.mark.parametrize(
    "wrong",
    [
        {"connect_timeout": 0},
        {"path": "socket.io"},
        {"max_payload": 0},
        {"recovery": 0},
        {"recovery_events": 0},
        {"recovery_size": 0},
        {"max_away": 0},
        {"max_away_per_identity": 0},
    ],
)
def test_what_is_out_of_bounds_names_itself(wrong: dict[str, Any]) -> None:
    with pytest.raises(LocalProtocolError, match=f"^socketio: {next(iter(wrong))}="):
        SocketIO(**wrong)


@pytest.mark.parametrize(
    "wrong", [{"connect_timeout": "1"}, {"path": 1}, {"connect_timeouts": 1}, {"recovery": True}, {"max_away": None}]
)
def test_what_has_the_wrong_type_names_itself(wrong: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=next(iter(wrong))):
        SocketIO(**wrong)
