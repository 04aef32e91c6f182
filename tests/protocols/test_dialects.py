"""What an endpoint speaks, as applications say it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from realtime.core.config import Config
from realtime.core.dialects import Dialect
from realtime.core.errors import LocalProtocolError
from realtime.protocols.dialects import EngineIO, SocketIO, SockJS, check_routes, dialects_of, speaking
from realtime.protocols.raw import Raw

NOTHING: dict[str, Any] = {
    "sockjs": False,
    "engineio": None,
    "socketio": None,
    "raw": False,
    "subprotocols": (),
    "dialects": (),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Other(Dialect):
    """A dialect of somebody else's."""

    route: str = ""


def spoken(config: Config | None = None, **given: Any) -> tuple[Dialect, ...]:
    """What an endpoint speaks for which this is given."""
    return dialects_of(config or Config(), **NOTHING | given)


def test_subprotocols_of_a_layer() -> None:
    named, ours = Raw(subprotocols=("mqtt",)), Raw(subprotocols=("a", "b"))
    assert speaking((Raw(), SockJS()), ("a", "b")) == (ours, SockJS())
    assert speaking((named,), ("a", "b")) == (named,)


def test_what_is_said_by_name() -> None:
    assert spoken() == ()
    assert spoken(raw=True) == (Raw(),)
    assert spoken(raw=True, subprotocols=["mqtt"]) == (Raw(subprotocols=("mqtt",)),)
    assert spoken(sockjs=True) == (SockJS(),)
    assert spoken(sockjs=SockJS(cookie_needed=True)) == (SockJS(cookie_needed=True),)
    assert spoken(engineio="/e") == (EngineIO(path="/e"),)
    assert spoken(socketio="/s") == (SocketIO(path="/s"),)
    assert spoken(socketio=SocketIO()) == (SocketIO(),)
    with pytest.raises(LocalProtocolError, match="leave out engineio"):
        spoken(socketio="/s", engineio="/e")
    everything = spoken(raw=True, sockjs=True, engineio="/e", dialects=[Other()])
    assert [type(one) for one in everything] == [Raw, SockJS, EngineIO, Other]


def test_any_dialect_can_be_given_as_it_is() -> None:
    given = (Other(), SockJS(), EngineIO(), Raw())
    assert spoken(dialects=given) == given


@pytest.mark.parametrize(
    "given",
    [
        {"dialects": [Other(), Other("/x")]},
        {"sockjs": True, "dialects": [SockJS()]},
        {"engineio": "/e", "dialects": (EngineIO(),)},
        {"raw": True, "dialects": (Raw(),)},
    ],
    ids=str,
)
def test_each_is_given_once(given: dict[str, Any]) -> None:
    with pytest.raises(LocalProtocolError, match=r"^dialects=.*: takes options of protocols, one of each"):
        spoken(**given)


@pytest.mark.parametrize(
    "given",
    [{"dialects": SockJS()}, {"dialects": [SockJS]}, {"dialects": None}, {"sockjs": 1}, {"engineio": True}, {"raw": 0}],
    ids=str,
)
def test_what_is_no_dialect(given: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=f"^{next(iter(given))}="):
        spoken(**given)


@pytest.mark.parametrize("settings", [{"raw": False}, {"raw": True, "config": Config(transports=("polling",))}])
def test_sub_protocols_are_for_bare_websockets(settings: dict[str, Any]) -> None:
    with pytest.raises(LocalProtocolError, match="subprotocols are for bare WebSockets"):
        spoken(subprotocols=("mqtt",), **settings)


def test_a_path_of_its_own_is_taken_once() -> None:
    taken = {"/a": (SockJS(), EngineIO(path="/e/")), "/b": (Raw(),)}
    check_routes((SockJS(), Raw(), Other()), taken)
    check_routes((Other("/f"),), taken)
    with pytest.raises(LocalProtocolError, match="the endpoint '/a' has '/e' already"):
        check_routes((Other("/e"),), taken)
