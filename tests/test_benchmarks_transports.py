"""The costs of transports: what is counted is what went over the sockets, and the tables get to their page."""

from __future__ import annotations

import pytest
from aiohttp import ClientSession

from benchmarks import transports
from benchmarks.transports import PAGE, SIZE, TRANSPORTS, Cost, Figures, Meter, measure, serving, tables, write


async def test_bytes_and_requests_are_counted_at_the_socket() -> None:
    meter = Meter()
    async with serving(meter) as url, ClientSession() as http:
        async with http.get(f"{url}/client.js", headers={"Accept-Encoding": "identity"}) as response:
            script = await response.read()
            heads = sum(len(name) + len(value) + 4 for name, value in response.raw_headers)
        assert meter.requests == 1
        assert meter.down == len(b"HTTP/1.1 200 OK\r\n\r\n") + heads + len(script)
        assert meter.up > len("GET /realtime/client.js HTTP/1.1\r\n\r\n")
        meter.reset()
        assert (meter.up, meter.down, meter.requests) == (0, 0, 0)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_every_transport_is_measured(transport: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transports, "PUSH_PAUSE", 0.01)
    meter = Meter()
    async with serving(meter) as url:
        figures = await measure(transport, meter, url, 0)
    for cost in (figures.echo, figures.burst):
        assert len(cost.times) == cost.messages
        assert cost.up > SIZE * cost.messages
        assert cost.down > SIZE * cost.messages
    assert figures.burst.messages == transports.BURST
    assert bool(figures.echo.requests) == (transport != "websocket")
    assert all(0 < seconds < 60 for cost in (figures.echo, figures.burst, figures.push) for seconds in cost.times)


def test_the_tables_get_to_their_page() -> None:
    cost = Cost(messages=4, requests=2, up=400, down=4000, times=[0.001, 0.002, 0.003, 0.1])
    text = tables({"websocket": Figures(cost, cost, cost)}, 5)
    assert text.count("| `websocket` | 0.50 | 100 | 1,000 | 2.5 | ") == 3
    page = write(text, "before\n<!-- figures: how -->\nold\n<!-- /figures -->\nafter\n")
    assert page == f"before\n<!-- figures: how -->\n{text}\n<!-- /figures -->\nafter\n"
    assert write(text, page) == page


def test_the_page_has_figures_of_every_transport_that_is_measured() -> None:
    figures = PAGE.read_text("utf-8").partition("<!-- figures")[2].partition("<!-- /figures -->")[0]
    for transport in TRANSPORTS:
        assert figures.count(f"| `{transport}` |") == 3
