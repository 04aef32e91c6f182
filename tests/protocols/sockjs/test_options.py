"""The options of SockJS at an endpoint, and its iframe page."""

from __future__ import annotations

import re
from typing import Any

import pytest

from realtime.core.config import Config
from realtime.core.errors import LocalProtocolError
from realtime.protocols.sockjs.options import CLIENT_INTEGRITY, CLIENT_URL, SockJS, iframe_page

HASH = "sha384-" + "A" * 64


def test_the_iframe_page_loads_the_client() -> None:
    page = iframe_page(SockJS(client_url="/static/sockjs.js")).decode()
    assert re.search(r'<script src="([^"]*)">', page)[1] == "/static/sockjs.js"  # type: ignore[index]
    assert "SockJS.bootstrap_iframe();" in page


@pytest.mark.parametrize(
    ("options", "tag"),
    [
        ({}, f'<script src="{CLIENT_URL}" integrity="{CLIENT_INTEGRITY}" crossorigin="anonymous"></script>'),
        ({"client_integrity": None}, f'<script src="{CLIENT_URL}"></script>'),
        ({"client_url": "/sockjs.js"}, '<script src="/sockjs.js"></script>'),
        (
            {"client_url": "/sockjs.js", "client_integrity": HASH},
            f'<script src="/sockjs.js" integrity="{HASH}" crossorigin="anonymous"></script>',
        ),
        (
            {"client_url": "//cdn.example/s.js", "client_integrity": f"{HASH} sha256-{'A' * 43}="},
            f'<script src="//cdn.example/s.js" integrity="{HASH} sha256-{"A" * 43}=" crossorigin="anonymous"></script>',
        ),
        (
            {"client_url": "https://cdn.example/s.js", "client_integrity": None},
            '<script src="https://cdn.example/s.js"></script>',
        ),
    ],
)
def test_a_script_of_another_origin_is_the_one_that_was_meant(options: dict[str, Any], tag: str) -> None:
    assert tag in iframe_page(SockJS(**options)).decode()


@pytest.mark.parametrize("url", ["//cdn.example/s.js", "http://cdn.example/s.js", "https://cdn.example/s.js"])
def test_a_script_of_another_origin_needs_a_hash(url: str) -> None:
    with pytest.raises(LocalProtocolError, match="client_integrity"):
        SockJS(client_url=url)


@pytest.mark.parametrize(
    "options",
    [
        {"heartbeat_delay": 0},
        {"disconnect_delay": float("inf")},
        {"response_limit": 4095},
        {"client_url": "sockjs.js"},
        {"client_url": '/x"><script>'},
        {"client_integrity": "sha384-abc"},
        {"client_integrity": "md5-" + "A" * 22},
        {"client_integrity": '"><script>'},
        {"client_integrity": f"{HASH}  {HASH}"},
    ],
)
def test_options_out_of_bounds(options: dict[str, object]) -> None:
    (name,) = options
    with pytest.raises(LocalProtocolError, match=name):
        SockJS(**options)  # type: ignore[arg-type]


def test_a_misspelt_option_raises() -> None:
    with pytest.raises(TypeError, match="cookie_neded"):
        SockJS(cookie_neded=True)  # type: ignore[call-arg]


def test_the_settings_of_a_session() -> None:
    settings = SockJS(heartbeat_delay=30, disconnect_delay=7, response_limit=5000).settings(Config(max_size=100))
    assert settings.ping_interval == 30
    assert settings.resume_window == 7
    assert settings.max_stream_size == settings.max_batch_size == 5000
    assert settings.max_size == 100
