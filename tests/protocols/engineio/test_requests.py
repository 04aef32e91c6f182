"""What Engine.IO clients say in their URLs, and what they are told that may not."""

from __future__ import annotations

import pytest

from realtime.core.errors import Refusal
from realtime.protocols.engineio.options import EngineIO
from realtime.protocols.engineio.requests import (
    BAD_REQUEST,
    BAD_VERSION,
    FORBIDDEN,
    UNKNOWN_SID,
    UNKNOWN_TRANSPORT,
    EngineIOError,
    EngineQuery,
)

POLLS = {"EIO": "4", "transport": "polling"}


def test_a_handshake_and_what_comes_after_it() -> None:
    assert EngineQuery.of(POLLS, EngineIO()) == ("polling", 4, "", False, None)
    later = {"EIO": "3", "transport": "websocket", "sid": "abc", "b64": "1", "j": "0"}
    assert EngineQuery.of(later, EngineIO()) == ("websocket", 3, "abc", True, "0")


@pytest.mark.parametrize(
    ("query", "code", "message"),
    [
        ({"EIO": "4"}, UNKNOWN_TRANSPORT, "Transport unknown"),
        (POLLS | {"transport": "flash"}, UNKNOWN_TRANSPORT, "Transport unknown"),
        (POLLS | {"transport": "websocket"}, UNKNOWN_TRANSPORT, "Transport unknown"),
        ({"transport": "polling"}, BAD_VERSION, "Unsupported protocol version"),
        (POLLS | {"EIO": "3"}, BAD_VERSION, "Unsupported protocol version"),
        (POLLS | {"EIO": "04"}, BAD_VERSION, "Unsupported protocol version"),
        (POLLS | {"j": ""}, BAD_REQUEST, "Bad request"),
        (POLLS | {"j": "-1"}, BAD_REQUEST, "Bad request"),
        (POLLS | {"j": "1" * 17}, BAD_REQUEST, "Bad request"),
        (POLLS | {"j": "\u0661"}, BAD_REQUEST, "Bad request"),
    ],
)
def test_what_an_endpoint_has_not(query: dict[str, str], code: int, message: str) -> None:
    options = EngineIO(versions=(4,), transports=("polling",))
    with pytest.raises(EngineIOError) as raised:
        EngineQuery.of(query, options)
    assert (raised.value.code, raised.value.message, raised.value.status) == (code, message, 400)
    assert raised.value.headers == {}


def test_refusals_in_the_protocols_terms() -> None:
    ended = EngineIOError.of(Refusal(4410, "gone", scope="session"))
    assert (ended.code, ended.status) == (UNKNOWN_SID, 400)
    busy = EngineIOError.of(Refusal(4429, "too many", retry_after=1.5))
    assert (busy.code, busy.message, busy.status, busy.retry_after) == (FORBIDDEN, "Forbidden: too many", 429, 1.5)
    assert EngineIOError.of(Refusal(4400, "what?")).code == BAD_REQUEST
