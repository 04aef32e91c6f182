"""Which pages may connect: docs/protocol.md §9, and what the setting takes."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from realtime.core.origins import check_origins
from realtime.gates.origins import asker
from realtime.web.origins import Admission, cors_headers, judge

KNOWN, ANONYMOUS, REFUSED = Admission.KNOWN, Admission.ANONYMOUS, Admission.REFUSED
FRIEND = "https://friend.example"
HOST = "chat.example"

# what the request says, for which host, what is allowed, what becomes of it
TABLE: list[tuple[dict[str, str], str, tuple[str, ...], Admission]] = [
    # none of the three: no browser, or one that does not say
    ({}, HOST, (), ANONYMOUS),
    ({}, HOST, ("*",), ANONYMOUS),
    ({}, HOST, (FRIEND,), ANONYMOUS),
    # Origin
    ({"Origin": "http://chat.example"}, HOST, (), KNOWN),
    ({"Origin": "https://chat.example"}, HOST, (), KNOWN),  # a proxy ends TLS
    ({"Origin": "https://chat.example"}, "chat.example:443", (), KNOWN),
    ({"Origin": "https://chat.example:443"}, HOST, (), KNOWN),
    ({"Origin": "http://CHAT.example"}, "Chat.Example", (), KNOWN),
    ({"Origin": "http://chat.example:8080"}, "chat.example:8080", (), KNOWN),
    ({"Origin": "http://[::1]:8080"}, "[::1]:8080", (), KNOWN),
    ({"Origin": "http://[::1]"}, "[::1]", (), KNOWN),
    ({"Origin": "http://chat.example:8080"}, HOST, (), REFUSED),
    ({"Origin": "http://chat.example"}, "chat.example:8080", (), REFUSED),
    ({"Origin": "https://chat.example"}, "chat.example:80", (), REFUSED),
    ({"Origin": "http://sub.chat.example"}, HOST, (), REFUSED),
    ({"Origin": "http://chat.example.evil"}, HOST, (), REFUSED),
    ({"Origin": "http://evil/chat.example"}, HOST, (), REFUSED),
    ({"Origin": "http://chat.example@evil"}, HOST, (), REFUSED),
    ({"Origin": "http://"}, "", (), REFUSED),
    ({"Origin": ""}, "", (), REFUSED),
    ({"Origin": "chat.example"}, HOST, (), REFUSED),
    ({"Origin": FRIEND}, HOST, (), REFUSED),
    ({"Origin": FRIEND}, HOST, (FRIEND,), KNOWN),
    ({"Origin": FRIEND}, HOST, ("https://other.example", FRIEND), KNOWN),
    ({"Origin": "http://friend.example"}, HOST, (FRIEND,), REFUSED),
    ({"Origin": FRIEND + ":8443"}, HOST, (FRIEND,), REFUSED),
    ({"Origin": FRIEND}, HOST, ("*",), ANONYMOUS),
    ({"Origin": FRIEND}, HOST, ("*", FRIEND), KNOWN),
    ({"Origin": "*"}, HOST, ("*",), ANONYMOUS),
    ({"Origin": "*"}, HOST, (), REFUSED),
    # null: files, sandboxed frames, redirects
    ({"Origin": "null"}, HOST, (), REFUSED),
    ({"Origin": "null"}, "null", (), REFUSED),
    ({"Origin": "null"}, HOST, (FRIEND,), REFUSED),
    ({"Origin": "null"}, HOST, ("null",), ANONYMOUS),
    ({"Origin": "null"}, HOST, ("*",), ANONYMOUS),
    # the first that is there counts
    ({"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"}, HOST, (), REFUSED),
    ({"Origin": "http://chat.example", "Sec-Fetch-Site": "cross-site"}, HOST, (), KNOWN),
    ({"Sec-Fetch-Site": "cross-site", "Referer": "http://chat.example/page"}, HOST, (), REFUSED),
    # Sec-Fetch-Site
    ({"Sec-Fetch-Site": "same-origin"}, HOST, (), KNOWN),
    ({"Sec-Fetch-Site": "none"}, HOST, (), KNOWN),
    ({"Sec-Fetch-Site": "same-site"}, HOST, (), REFUSED),
    ({"Sec-Fetch-Site": "cross-site"}, HOST, (FRIEND,), REFUSED),  # nobody knows which
    ({"Sec-Fetch-Site": "cross-site"}, HOST, ("*",), ANONYMOUS),
    ({"Sec-Fetch-Site": ""}, HOST, (), REFUSED),
    # … and then a Referer can name an allowed page: a script tag, an iframe
    ({"Sec-Fetch-Site": "cross-site", "Referer": FRIEND + "/page"}, HOST, (FRIEND,), KNOWN),
    ({"Sec-Fetch-Site": "same-site", "Referer": FRIEND + "/"}, HOST, (FRIEND,), KNOWN),
    ({"Sec-Fetch-Site": "cross-site", "Referer": FRIEND + "/page"}, HOST, (FRIEND, "*"), KNOWN),
    ({"Sec-Fetch-Site": "cross-site", "Referer": FRIEND + "/page"}, HOST, ("*",), ANONYMOUS),
    ({"Sec-Fetch-Site": "cross-site", "Referer": FRIEND + ".evil/"}, HOST, (FRIEND,), REFUSED),
    ({"Sec-Fetch-Site": "cross-site", "Referer": "https://evil.example/" + FRIEND}, HOST, (FRIEND,), REFUSED),
    ({"Sec-Fetch-Site": "cross-site", "Referer": "http://[broken"}, HOST, (FRIEND,), REFUSED),
    ({"Sec-Fetch-Site": "cross-site", "Referer": "null"}, HOST, ("null",), REFUSED),
    ({"Sec-Fetch-Site": "cross-site", "Referer": "*"}, HOST, ("*",), ANONYMOUS),
    ({"Origin": "https://evil.example", "Referer": FRIEND + "/"}, HOST, (FRIEND,), REFUSED),
    ({"Origin": "null", "Referer": FRIEND + "/"}, HOST, (FRIEND,), REFUSED),
    ({"Sec-Fetch-Site": "same-origin", "Referer": "https://evil.example/"}, HOST, (), KNOWN),
    # Referer
    ({"Referer": "http://chat.example/page?a=b"}, HOST, (), KNOWN),
    ({"Referer": "http://chat.example"}, HOST, (), KNOWN),
    ({"Referer": "http://chat.example:81/"}, HOST, (), REFUSED),
    ({"Referer": "https://friend.example/page"}, HOST, (FRIEND,), KNOWN),
    ({"Referer": "https://friend.example/page"}, HOST, ("*",), ANONYMOUS),
    ({"Referer": "https://evil.example/?http://chat.example"}, HOST, (), REFUSED),
    ({"Referer": "about:blank"}, HOST, (), REFUSED),
    ({"Referer": ""}, HOST, (), REFUSED),
    ({"Referer": "http://[broken"}, HOST, (), REFUSED),
    ({"Referer": "http://[broken"}, HOST, ("*",), ANONYMOUS),
]


@pytest.mark.parametrize(("headers", "host", "allowed", "expected"), TABLE)
def test_the_table(headers: dict[str, str], host: str, allowed: tuple[str, ...], expected: Admission) -> None:
    sent = CIMultiDict(headers)
    signs = sent.get("Origin"), sent.get("Sec-Fetch-Site"), sent.get("Referer")
    assert judge(*signs, host, check_origins(allowed), False) is expected


def test_cors_headers() -> None:
    assert cors_headers({}) == {}
    assert cors_headers({"Origin": "ümlaut"}) == {}
    assert cors_headers({"Origin": FRIEND}) == {
        "Access-Control-Allow-Origin": FRIEND,
        "Access-Control-Allow-Credentials": "true",
        "Vary": "Origin",
    }


@pytest.mark.parametrize(
    ("headers", "page"),
    [
        ({}, None),
        ({"Sec-Fetch-Site": "same-origin"}, ""),
        ({"Sec-Fetch-Site": "none"}, ""),
        ({"Origin": "http://chat.example"}, ""),
        ({"Origin": "https://chat.example", "Sec-Fetch-Site": "same-origin"}, ""),
        ({"Referer": "http://chat.example/page"}, ""),
        ({"Origin": FRIEND}, FRIEND),
        ({"Sec-Fetch-Site": "cross-site", "Referer": FRIEND + "/page"}, FRIEND),
        ({"Sec-Fetch-Site": "cross-site"}, None),
        ({"Origin": "null"}, "null"),
        ({"Referer": "http://[broken"}, "://"),
    ],
)
def test_all_requests_of_a_page_have_the_same_asker(headers: dict[str, str], page: str | None) -> None:
    assert asker(CIMultiDict(headers), HOST) == page
