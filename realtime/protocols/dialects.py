"""What an endpoint speaks beside the native protocol, as applications say it: `sockjs=`, `engineio=`, `socketio=`,
`raw=` and `subprotocols=` stand for the options of the dialects that everybody has; `dialects=` takes any.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..core.config import Config
from ..core.dialects import Dialect
from ..core.errors import LocalProtocolError
from ..core.settings import Rule, check, flag, instance
from .engineio.options import EngineIO
from .engineio.socketio import SocketIO
from .raw import Raw
from .sockjs.options import SockJS

__all__ = ["RULES", "EngineIO", "SockJS", "SocketIO", "check_routes", "dialects_of", "route_taken", "speaking"]

RULES = {
    "sockjs": instance("True, False or realtime.SockJS(...)", bool, SockJS),
    "engineio": instance('a path such as "/engine.io", or realtime.EngineIO(...)', str, EngineIO).or_none("none"),
    "socketio": instance('a path such as "/socket.io", or realtime.SocketIO(...)', str, SocketIO).or_none("none"),
    "raw": flag(),
    "dialects": Rule(
        "options of protocols, one of each",
        lambda value: isinstance(value, (tuple, list)) and all(isinstance(one, Dialect) for one in value),
        lambda value: len({type(one) for one in value}) == len(value),
    ),
}


def dialects_of(
    config: Config,
    *,
    sockjs: SockJS | bool,
    engineio: EngineIO | str | None,
    socketio: SocketIO | str | None,
    raw: bool,
    subprotocols: Sequence[str],
    dialects: Sequence[Dialect],
) -> tuple[Dialect, ...]:
    """What an endpoint speaks, in the order in which a request is offered to them. See Server.endpoint().

    Raises TypeError for a value of the wrong type, LocalProtocolError for one that makes no sense.
    """
    given = {"sockjs": sockjs, "engineio": engineio, "socketio": socketio, "raw": raw, "dialects": dialects}
    for name, rule in RULES.items():
        check(name, given[name], rule)
    bare = Raw(subprotocols=subprotocols)
    if bare.subprotocols and not (raw and "websocket" in config.transports):
        raise LocalProtocolError("subprotocols are for bare WebSockets, which this endpoint does not take")
    chosen: list[Dialect] = [bare] if raw else []
    if sockjs:
        chosen.append(SockJS() if sockjs is True else sockjs)
    if engineio is not None:
        chosen.append(EngineIO.of(engineio))
    if socketio is not None:
        if engineio is not None:
            raise LocalProtocolError("socketio= is Engine.IO already: leave out engineio=")
        chosen.append(SocketIO.of(socketio))
    chosen += dialects
    check("dialects", chosen, RULES["dialects"])  # what has a name of its own is given once
    return tuple(chosen)


def speaking(dialects: Sequence[Dialect], subprotocols: Sequence[str]) -> tuple[Dialect, ...]:
    """These dialects, where bare WebSockets agree on one of these sub-protocols unless others are named."""
    bare = Raw(subprotocols=subprotocols)
    return tuple(bare if isinstance(one, Raw) and not one.subprotocols else one for one in dialects)


def check_routes(dialects: Sequence[Dialect], taken: Mapping[str, Sequence[Dialect]]) -> None:
    """Raises LocalProtocolError where a dialect wants a path of its own that has been `taken` by one of the endpoints
    at these paths."""
    for dialect in dialects:
        for path, others in taken.items():
            if dialect.route and any(dialect.route == other.route for other in others):
                raise route_taken(dialect, f"the endpoint {path!r}")


def route_taken(dialect: Dialect, by: str) -> LocalProtocolError:
    """The error for a path of its own that a dialect cannot have."""
    return LocalProtocolError(
        f"{by} has {dialect.route!r} already, for its clients of {type(dialect).__name__}: give this one another path"
    )
