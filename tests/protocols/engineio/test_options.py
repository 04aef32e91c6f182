"""What an endpoint may say of its Engine.IO clients."""

from __future__ import annotations

from typing import Any

import pytest

from realtime.core.errors import LocalProtocolError
from realtime.protocols.engineio.options import EngineIO


def test_the_defaults_are_those_of_the_reference_server() -> None:
    options = EngineIO()
    assert (options.path, options.ping_interval, options.ping_timeout, options.max_payload) == (
        "/engine.io/",
        25.0,
        20.0,
        1_000_000,
    )
    assert (options.transports, options.versions, options.cookie) == (("polling", "websocket"), (4, 3), None)


def test_a_path_alone_is_enough() -> None:
    assert EngineIO.of("/engine.io") == EngineIO(path="/engine.io")
    options = EngineIO(path="/a/b/", ping_interval=0.3)
    assert EngineIO.of(options) is options
    assert options.route == EngineIO.of("/a/b").route == "/a/b"


def test_what_polling_upgrades_to() -> None:
    assert EngineIO().upgrades == ("websocket",)
    assert EngineIO(allow_upgrades=False).upgrades == ()
    assert EngineIO(transports=("polling",)).upgrades == ()


@pytest.mark.parametrize(
    "wrong",
    [
        {"path": "engine.io"},
        {"path": "/"},
        {"path": "/a b"},
        {"path": "/{a}"},
        {"ping_interval": 0},
        {"ping_interval": float("inf")},
        {"ping_timeout": 0.0001},
        {"upgrade_timeout": -1},
        {"max_payload": 0},
        {"max_packets": 3},
        {"transports": ()},
        {"transports": ("polling", "flashsocket")},
        {"versions": (2,)},
        {"cookie": "a b"},
        {"cookie": ""},
        {"cookie_attributes": "Path=/\r\nX: y"},
    ],
    ids=str,
)
def test_values_out_of_bounds(wrong: dict[str, Any]) -> None:
    with pytest.raises(LocalProtocolError, match=next(iter(wrong))):
        EngineIO(**wrong)


def test_one_alone_and_a_list_are_tuples() -> None:
    assert EngineIO(transports="polling").transports == ("polling",)  # type: ignore[arg-type]
    assert EngineIO(versions=4).versions == (4,)  # type: ignore[arg-type]
    assert EngineIO(transports=["websocket"]).transports == ("websocket",)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [{"transports": 3.5}, {"path": 1}, {"max_payload": "1 MB"}, {"cookie": 1}], ids=str)
def test_values_of_the_wrong_type(wrong: dict[str, Any]) -> None:
    ((name, value),) = wrong.items()
    with pytest.raises(TypeError, match=f"^engineio: {name}={value!r}: takes .*, not {type(value).__name__}$"):
        EngineIO(**wrong)


def test_a_misspelt_option() -> None:
    with pytest.raises(TypeError, match="ping_intervall"):
        EngineIO(ping_intervall=1)  # type: ignore[call-arg]


def test_the_handshake_says_what_may_be_upgraded_to_and_times_in_milliseconds() -> None:
    options = EngineIO(ping_interval=0.3, ping_timeout=20, max_payload=1000)
    assert options.handshake("abc", polling=True) == (
        '{"sid":"abc","upgrades":["websocket"],"pingInterval":300,"pingTimeout":20000,"maxPayload":1000}'
    )
    assert '"upgrades":[]' in options.handshake("abc", polling=False)
    assert '"upgrades":[]' in EngineIO(allow_upgrades=False).handshake("abc", polling=True)
