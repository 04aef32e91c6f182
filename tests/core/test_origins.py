"""The origins that a server may allow."""

from __future__ import annotations

from typing import Any

import pytest

from realtime.core.errors import LocalProtocolError
from realtime.core.origins import check_origins

FRIEND = "https://friend.example"


@pytest.mark.parametrize(
    ("setting", "origins"),
    [
        ((), set()),
        (("*",), {"*"}),
        (("https://Friend.Example",), {FRIEND}),
        (("https://friend.example:443", "http://a.b:80"), {FRIEND, "http://a.b"}),
        (("https://friend.example:80", "null"), {"https://friend.example:80", "null"}),
        (("http://[::1]:8080", "capacitor://localhost"), {"http://[::1]:8080", "capacitor://localhost"}),
    ],
)
def test_what_may_be_allowed(setting: tuple[str, ...], origins: set[str]) -> None:
    assert check_origins(setting) == origins


@pytest.mark.parametrize(
    "origin",
    ["", "friend.example", "https://", "https://friend.example/", "https://friend.example/a", "https://*.example", 7],
)
def test_what_no_browser_would_send_raises(origin: Any) -> None:
    with pytest.raises(LocalProtocolError, match=r"^allowed_origins: .* is no origin"):
        check_origins((origin,))
