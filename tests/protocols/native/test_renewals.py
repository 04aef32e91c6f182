"""Fresh auth data: said, read, refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from realtime.core.errors import LocalProtocolError, RemoteProtocolError
from realtime.protocols.native import Renewal, feed_server, parse_renewal, renewal_frame

from .ends import serving


def test_how_much_fresh_auth_data_may_say() -> None:
    assert parse_renewal('t"' + "é" * 499 + '"', 1000) is not None
    for text in ('"' + "é" * 500 + '"', "[" * 1001):
        with pytest.raises(RemoteProtocolError, match="max_auth_size=1000") as caught:
            parse_renewal("t" + text, 1000)
        assert (caught.value.close_code, caught.value.http_status) == (1009, 413)
    machine, carrier, _ = serving()
    machine.config = replace(machine.config, max_auth_size=10)
    assert feed_server(machine, carrier, 't"12345678"', 0.0) == Renewal(b'"12345678"')
    with pytest.raises(RemoteProtocolError, match="max_auth_size=10 "):
        feed_server(machine, carrier, 't"123456789"', 0.0)


@pytest.mark.parametrize("auth", [None, True, 0, "a token", {"token": "größe"}, [1, None]])
def test_fresh_auth_data(auth: Any) -> None:
    frame = renewal_frame(auth)
    renewal = parse_renewal(frame)
    assert renewal is not None
    assert renewal == Renewal(frame[1:].encode())
    assert json.loads(renewal.auth) == auth
    machine, carrier, _ = serving()
    assert feed_server(machine, carrier, frame, 3.0) == renewal
    assert (machine.contact, machine.inbox.received) == (3.0, 0)


def test_what_is_no_fresh_auth_data() -> None:
    for frame in ("mt1", b"t1", "", "a0,0"):
        assert parse_renewal(frame) is None
    for text in ("", "{", "NaN", "[" * 10_000):
        with pytest.raises(RemoteProtocolError, match="t<JSON>") as caught:
            parse_renewal("t" + text)
        assert caught.value.close_code == 1002
    with pytest.raises(TypeError, match="auth: takes what JSON has: Object of type set"):
        renewal_frame({1})
    for wrong in (float("nan"), "\ud800"):
        with pytest.raises(LocalProtocolError, match="auth: takes what JSON has: "):
            renewal_frame(wrong)
