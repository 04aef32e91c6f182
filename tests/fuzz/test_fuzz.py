"""A fixed sample of the fuzz run, and the judge judged."""

from __future__ import annotations

import pytest

from .dice import Dice
from .runner import run
from .wire import Finding, judge, sid_of

OURS = b"X-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\nContent-Type: text/plain; charset=utf-8\r\n"


def said(status: int, body: bytes, headers: bytes = OURS) -> bytes:
    """An answer as it lies on the wire."""
    return b"HTTP/1.1 %d So\r\n%bContent-Length: %d\r\n\r\n%b" % (status, headers, len(body), body)


async def test_a_sample() -> None:
    report = await run(7, range(2000))
    assert report.fine, "\n".join(f"--seed 7 --only {number}: {what}" for number, what in report.findings)
    assert report.inputs == 2000
    assert {101, 200, 204, 400, 401, 403, 404, 405, 409, 410, 413} <= report.statuses.keys()
    assert report.statuses[200] > 500


def test_an_input_is_the_same_again() -> None:
    assert [Dice(1, 2).value() for _ in range(3)] == [Dice(1, 2).value()] * 3
    assert Dice(1, 2).randbytes(8) != Dice(1, 3).randbytes(8) != Dice(2, 3).randbytes(8)


def test_what_the_judge_lets_pass() -> None:
    fine = said(200, b'["r1,0","mhello"]') + said(404, b'["x4404,session,,no such session"]')
    fine += said(400, b"Bad Request", b"") + b"HTTP/1.1 204 No Content\r\n" + OURS + b"\r\n"
    assert judge(fine) == [200, 404, 400, 204]
    assert judge(said(200, b'["r1,0"]')[:-3]) == []
    assert judge(b"HTTP/1.1 101 So\r\nUpgrade: websocket\r\n\r\n\x81\x04a0,0\x88\x02\x03\xe8") == [101]
    assert judge(said(405, b"", OURS), head=True) == [405]
    assert sid_of(said(200, b'["o{\\"sid\\":\\"w.abc\\"}"]')) == "w.abc"


@pytest.mark.parametrize(
    "wrong",
    [
        said(500, b"500 Internal Server Error", b""),
        said(503, b"busy", b""),
        said(200, b'["mhealthy 1"]'),
        said(400, b"Traceback (most recent call last)", b""),
        said(200, b'["zfoo"]'),
        said(200, b"[]"),
        said(400, b'["r1,0"]'),
        said(404, b'["x4401,carrier,,who?"]'),
        said(200, b'["r1,0"]', OURS.replace(b"nosniff", b"sniff")),
        said(200, b'["r1,0"]', OURS + b"Vary: a\r\nVary: b\r\n"),
        said(200, b'["r1,0"]', OURS + b"Vary : a\r\n"),
        said(200, b'["r1,0"]', OURS.replace(b"text/plain", b"text/html")),
        said(200, b'["r1,0"]') + b"rubbish\r\n",
        b"HTTP/1.1 101 So\r\nUpgrade: websocket\r\n\r\n\x81\x84a0,0aaaa",
        b"HTTP/1.1 101 So\r\nUpgrade: websocket\r\n\r\n\x88\x02\x03\xe8\x81\x04a0,0",
        b"HTTP/1.1 101 So\r\nUpgrade: websocket\r\n\r\n\x88\x02\x03\xee",
        b"HTTP/1.1 200 So\r\n" + OURS + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 So\r\n" + OURS + b"Transfer-Encoding: chunked\r\n\r\n5\r\n  \n\n\n\n\n",
    ],
)
def test_what_the_judge_finds(wrong: bytes) -> None:
    with pytest.raises(Finding):
        judge(wrong)
