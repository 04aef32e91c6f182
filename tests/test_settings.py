"""Settings where they are written: Server(), endpoint(), connect(). What is right passes, what is wrong names itself.

mypy reads typing_right and typing_wrong with everything else; here they run.
"""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import realtime
from realtime.client.options import ConnectSettings
from realtime.core.config import RULES
from realtime.core.settings import EndpointSettings, ServerSettings
from realtime.testing import Clients

from . import typing_right
from .typing_wrong import wrong_uses

# One name stands for a tuple of one, and a list for a tuple.
GIVEN: dict[str, Any] = {"transports": str | Sequence[str]}


def test_the_types_of_settings_are_those_of_config() -> None:
    hints = typing.get_type_hints(realtime.Config)
    fields = {field.name: hints[field.name] for field in dataclasses.fields(realtime.Config)}
    typed = typing.get_type_hints(ServerSettings)
    assert list(typed) == list(fields) == list(RULES)
    assert typed == {name: GIVEN.get(name, kind) for name, kind in fields.items()}


def test_the_settings_of_endpoints_are_the_first_of_a_servers() -> None:
    endpoints = list(typing.get_type_hints(EndpointSettings))
    assert list(typing.get_type_hints(ServerSettings))[: len(endpoints)] == endpoints


def test_the_types_of_connect_are_those_for_who_hands_them_on() -> None:
    hints = typing.get_type_hints(realtime.connect.__init__)
    parameters = inspect.signature(realtime.connect).parameters.values()
    names = [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]
    assert {name: hints[name] for name in names} == typing.get_type_hints(ConnectSettings)
    assert names == list(ConnectSettings.__annotations__)


async def test_right_uses() -> None:
    servers = typing_right.servers()
    assert [server._service.config.transports for server in servers[2:5]] == [
        ("websocket",),
        ("websocket", "polling"),
        ("websocket",),
    ]
    assert servers[4].trusted_proxies == ("127.0.0.1",)
    assert servers[4].allowed_origins == ("https://example.org",)
    typing_right.endpoints(servers[0])
    assert servers[0]._service.endpoints["/chat"].config.transports == ("polling",)
    assert len(typing_right.connections()) == 4
    async with Clients() as client:
        session = await typing_right.under_test(client, servers[0])
        assert session.transport == "polling"


@pytest.mark.parametrize(("use", "said"), wrong_uses(), ids=[said for _, said in wrong_uses()])
def test_wrong_uses(use: Callable[[], object], said: str) -> None:
    with pytest.raises((TypeError, realtime.LocalProtocolError), match=said):
        use()


def test_mypy_has_to_find_each_wrong_use() -> None:
    source = Path(str(inspect.getsourcefile(wrong_uses))).read_text(encoding="utf-8")
    assert source.count("(lambda: ") == source.count("# type: ignore[") == len(wrong_uses())


@pytest.mark.parametrize(
    ("use", "said"),
    [
        (lambda: realtime.Server(transports="websockets"), r"no transport 'websockets'; did you mean 'websocket'\?"),
        (lambda: realtime.Server(transports=()), r"^transports=\(\): takes different names"),
        (
            lambda: realtime.Server(max_size=0),
            "^max_size=0: takes a whole number of at least 1 and at most 2,147,483,648$",
        ),
        (
            lambda: realtime.Server(ping_interval=0),
            "^ping_interval=0: takes a number of seconds above 0 and at most 1,000,000,000, or",
        ),
        (lambda: realtime.Server(poll_interval=(1, 50)), r"^poll_interval=\(1, 50\): takes .*at most 45"),
        (lambda: realtime.Server(shutdown_timeout=-1), "^shutdown_timeout=-1: takes a number of seconds of at least 0"),
        (lambda: realtime.connect("http://x/", open_timeout=0), "^open_timeout=0: takes a number of seconds above 0"),
        (lambda: realtime.connect("http://x/", backoff=(2, 1)), r"^backoff=\(2, 1\): takes \(first, longest\)"),
        (lambda: realtime.connect("http://x/", transports="jsonp"), "^transports: only browsers run 'jsonp'"),
        (lambda: realtime.connect("http://x/", transports="pollin"), "no transport 'pollin'; did you mean 'polling'"),
        (lambda: realtime.SockJS(heartbeat_delay=0), "^heartbeat_delay=0: takes a number"),
        (lambda: realtime.EngineIO(max_packets=1), "^engineio: max_packets=1: takes a whole number of at least 4"),
    ],
    ids=lambda value: value if isinstance(value, str) else "use",
)
def test_what_is_out_of_bounds(use: Callable[[], object], said: str) -> None:
    with pytest.raises(realtime.LocalProtocolError, match=said):
        use()


async def test_one_transport_alone_is_a_tuple_of_one(realtime_client: Clients) -> None:
    rt = realtime.Server()

    @rt.endpoint("/one", transports="long_polling")
    async def one(session: realtime.Session) -> None:
        await session.send(session.transport)

    session = await realtime_client(rt, "/realtime/one", transports="long_polling")
    assert await session.receive() == "long_polling"
