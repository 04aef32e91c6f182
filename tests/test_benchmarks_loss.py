"""WebTransport beside WebSocket: what carries the packets, and the table. (Its command wants root.)"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from random import Random
from typing import Any

import pytest

from benchmarks.loss import HEADS, PAGE, Network, main, put, table

from .patience import arrives


async def test_packets_pass_both_ways_and_some_are_lost() -> None:
    (near, one), (far, other) = (socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(2))
    for end in (near, far):
        end.setblocking(False)
    network = Network(one.fileno(), other.fileno(), Random(1))
    network.start()
    loop = asyncio.get_running_loop()
    try:
        for source, target in ((near, far), (far, near)):
            await loop.sock_sendall(source, b"one")
            assert await arrives(loop.sock_recv(target, 16)) == b"one"
        network.loss = 0.5
        chance = Random(1)
        chance.random(), chance.random()  # those that have passed
        expected = {number for number in range(100) if chance.random() >= 0.5}
        assert 30 < len(expected) < 70
        for number in range(100):
            await loop.sock_sendall(near, b"%d" % number)
        came: set[int] = set()
        while len(came) < len(expected):
            came.add(int(await arrives(loop.sock_recv(far, 16))))
        assert came == expected
    finally:
        network.stop()
        for end in (near, one, far, other):
            end.close()


def test_the_table_has_a_line_for_each_measurement() -> None:
    row = dict.fromkeys(HEADS[2:], 1.25)
    how = {"seconds": 1.0, "opens": 2, "downs": 1}
    lines = table([(0.0, "websocket", row), (0.05, "webtransport", row)], how, "cubic").splitlines()
    assert lines[-2:] == [
        "| 0% | `websocket` | 1 | 1 | 1 | 1 | 1.25 | 1 |",
        "| 5% | `webtransport` | 1 | 1 | 1 | 1 | 1.25 | 1 |",
    ]
    assert lines[-4].count("|") == lines[-3].count("|") == lines[-1].count("|")
    assert "TCP with the kernel's `cubic`" in "\n".join(lines)


def test_the_table_goes_where_the_last_one_was() -> None:
    page = PAGE.read_text("utf-8")
    once = put(page, "the table")
    assert once.count("the table\n<!-- /loss -->") == 1
    assert put(once, "the table") == once
    assert put(once, page.partition("benchmarks.loss --write -->\n")[2].partition("\n<!-- /loss")[0]) == page
    with pytest.raises(SystemExit):
        put(page.replace("<!-- /loss -->", ""), "the table")


def test_whoever_may_not_make_a_network_is_told_so(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(sys, "argv", ["loss", "--quick"])
    with pytest.raises(SystemExit):
        main()
    assert "needs root, on Linux" in capsys.readouterr().err
