"""Metrics of real sessions, as a scraper sees them (docs/metrics.md)."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import threading
from contextlib import AbstractAsyncContextManager
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

import realtime
from realtime import metrics
from realtime.client.wire import own_transports
from realtime.core.config import Config
from realtime.core.errors import http_status
from realtime.core.numbered_machine import NumberedMachine
from realtime.core.observer import Cause, Result
from realtime.metrics.families import CATALOGUE
from realtime.metrics.tally import (
    END_CODES,
    POLICIES,
    REFUSAL_CODES,
    Histogram,
    Sums,
    Tally,
    code_label,
    transport_label,
)
from realtime.testing import FaultProxy, KillWebSocket, ProxiedRequest, RepeatRequest
from realtime.transports import TRANSPORTS

from .core.fakes import WIDE, Diary
from .web.place import Place, eventually, serving

DOCS = Path(__file__).parent.parent / "docs"
each_transport = pytest.mark.parametrize("transport", own_transports())


class Scrape(dict[tuple[str, frozenset[tuple[str, str]]], float]):
    """The samples of one scrape."""

    def of(self, name: str, **labels: str) -> float:
        """The value of one sample."""
        return self[name, frozenset(labels.items())]

    def get_of(self, name: str, **labels: str) -> float:
        """The value of one sample, 0 if there is none yet."""
        return self.get((name, frozenset(labels.items())), 0)


async def scrape(place: Place, path: str = "/metrics") -> Scrape:
    """What a scraper gets."""
    async with aiohttp.ClientSession() as http, http.get(place.base + path) as response:
        assert response.status == 200
        assert response.headers["Content-Type"].startswith("text/plain; version=")
        text = await response.text()
    return Scrape(
        ((sample.name, frozenset(sample.labels.items())), sample.value)
        for family in parse_text(text)
        for sample in family.samples
    )


def measured(**settings: Any) -> AbstractAsyncContextManager[Place]:
    """A place with metrics."""
    return serving(prepare=lambda place: metrics.setup(place.app, place.rt), **settings)


def assert_no_counter_fell(before: Scrape, after: Scrape) -> None:
    """Only gauges may."""
    fell = {
        name
        for (name, labels), value in before.items()
        if name.endswith(("_total", "_count", "_sum", "_bucket")) and after[name, labels] < value
    }
    assert fell == set()


# -- sessions --------------------------------------------------------------------------------------------------------


@each_transport
async def test_the_life_of_a_session(transport: str) -> None:
    async with measured() as place:
        before = await scrape(place)
        async with realtime.connect(place.url("/echo"), transports=[transport], upgrade=False) as session:
            for message in ("hello", b"\x00\xff", "é"):
                await session.send(message)
                assert await session.receive() == message
            during = await scrape(place)
            assert during.of("realtime_sessions", transport=transport, state="open") == 1
            assert during.of("realtime_opens_total", transport=transport) == 1
            assert during.get_of("realtime_attaches_total", transport=transport, cause="open") == 1
            for direction in ("in", "out"):
                assert during.of("realtime_messages_total", direction=direction) == 3
                assert during.of("realtime_message_bytes_total", direction=direction) == 9
        await eventually(lambda: not place.rt._service.sessions.handlers.tasks)
        after = await scrape(place)
    assert sum(value for (name, _), value in after.items() if name == "realtime_sessions") == 0
    assert after.of("realtime_messages_total", direction="in") == 3
    assert after.of("realtime_messages_total", direction="out") == 3
    assert after.of("realtime_ends_total", code="1000") == 1
    assert after.of("realtime_handler_seconds_count", result="returned") == 1
    assert after.of("realtime_flush_seconds_count") >= 2  # acks may come together
    assert 0 < after.of("realtime_flush_seconds_sum") < 60
    assert_no_counter_fell(before, during)
    assert_no_counter_fell(during, after)


async def test_what_was_left_for_later_and_why() -> None:
    async with measured() as place:
        failed = {"websocket": ["whatever it says", 1]}
        await place.peer("polling", "/park").open(failed=failed, transports=["websocket", "polling"])
        scraped = await scrape(place)
    assert scraped.of("realtime_demotions_total", transport="websocket", reason="reported") == 1
    assert sum(value for (name, _), value in scraped.items() if name == "realtime_demotions_total") == 1


async def test_polls_are_next_ones() -> None:
    async with measured() as place, realtime.connect(place.url("/echo"), transports=["long_polling"]) as session:
        for number in range(5):
            await session.send(str(number))
            await session.receive()
        scraped = await scrape(place)
    assert scraped.get_of("realtime_attaches_total", transport="long_polling", cause="next") >= 4
    assert scraped.get_of("realtime_attaches_total", transport="long_polling", cause="resume") == 0


async def test_recycled_streams_are_next_ones() -> None:
    async with measured(max_stream_size=4096) as place:
        options: dict[str, Any] = {"transports": ["xhr_streaming"], "upgrade": False}
        async with realtime.connect(place.url("/echo"), **options) as session:
            for _ in range(6):
                await session.send("x" * 1000)
                await session.receive()
        scraped = await scrape(place)
    assert scraped.get_of("realtime_attaches_total", transport="xhr_streaming", cause="next") >= 1


async def test_counters_never_fall_while_sessions_come_and_go() -> None:
    async with measured() as place:
        scrapes = [await scrape(place)]

        async def live(transport: str) -> None:
            for number in range(6):
                async with realtime.connect(place.url("/echo"), transports=[transport], upgrade=False) as session:
                    for _ in range(number):
                        await session.send("hello")
                        await session.receive()

        lives = [asyncio.create_task(live(transport)) for transport in own_transports()]
        while not all(task.done() for task in lives):
            scrapes.append(await scrape(place))
        await asyncio.gather(*lives)
        scrapes.append(await scrape(place))
    for before, after in pairwise(scrapes):
        assert_no_counter_fell(before, after)
    assert scrapes[-1].of("realtime_messages_total", direction="in") == 15 * len(own_transports())
    assert scrapes[-1].of("realtime_message_bytes_total", direction="out") == 75 * len(own_transports())
    assert scrapes[-1].of("realtime_ends_total", code="1000") == 6 * len(own_transports())


async def test_changes_of_transport() -> None:
    async with measured() as place:
        names = ["long_polling", "websocket", "polling"]
        async with realtime.connect(place.url("/echo"), transports=names, upgrade=False) as session:
            await session.switch("websocket")
            await session.switch("polling")
            await session.send("hello")
            assert await session.receive() == "hello"
            scraped = await scrape(place)

    def changes(before: str, after: str) -> float:
        labels = {"from": before, "to": after, "reason": "moved"}
        return scraped.of("realtime_transport_changes_total", **labels)

    assert changes("long_polling", "websocket") == changes("websocket", "polling") == 1
    assert scraped.of("realtime_attaches_total", transport="websocket", cause="upgrade") == 1
    assert scraped.of("realtime_attaches_total", transport="polling", cause="downgrade") == 1
    assert scraped.of("realtime_sessions", transport="polling", state="open") == 1


# -- what networks do ------------------------------------------------------------------------------------------------


async def test_replays_and_resumes_of_a_websocket_that_is_cut() -> None:
    async with measured() as place, FaultProxy("127.0.0.1", place.port) as proxy:
        proxy.add(KillWebSocket(after_frames=20, times=1, end="rst"))
        url = f"{proxy.url}/realtime/echo"
        async with realtime.connect(url, transports=["websocket"], backoff=(0.01, 0.1)) as session:
            for number in range(60):
                await session.send(str(number))
            assert [await session.receive() for _ in range(60)] == [str(number) for number in range(60)]
            scraped = await scrape(place)
    assert scraped.get_of("realtime_attaches_total", transport="websocket", cause="resume") == 1
    assert scraped.of("realtime_messages_total", direction="in") == 60
    assert scraped.of("realtime_messages_total", direction="out") == 60
    assert scraped.of("realtime_replays_total") > 0


async def test_duplicates_of_posts_that_come_twice() -> None:
    def sends(request: ProxiedRequest) -> bool:
        return request.path.endswith("/send")

    async with measured() as place, FaultProxy("127.0.0.1", place.port) as proxy:
        proxy.add(RepeatRequest(match=sends))
        async with realtime.connect(f"{proxy.url}/realtime/echo", transports=["long_polling"]) as session:
            for number in range(5):
                await session.send(str(number))
                assert await session.receive() == str(number)
            scraped = await scrape(place)
    assert scraped.of("realtime_messages_total", direction="in") == 5
    assert scraped.of("realtime_duplicates_total") > 0


async def test_a_carrier_that_is_lost_and_replaced_by_another_transport() -> None:
    async with measured() as place:
        peer, session = await place.parked("websocket")
        await peer.drop()
        await eventually(lambda: session.state == "detached")
        scraped = await scrape(place)
        assert scraped.of("realtime_sessions", transport="websocket", state="detached") == 1
        polls = place.polls("/park", "polling")
        polls.join(session, peer.gen)
        await polls.poll()
        scraped = await scrape(place)
    labels = {"from": "websocket", "to": "polling", "reason": "lost"}
    assert scraped.of("realtime_transport_changes_total", **labels) == 1


# -- slow consumers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("policy", "drops"), [("wait", 8), ("drop_oldest", 8), ("close", 1)])
async def test_drops_by_policy(policy: str, drops: int) -> None:
    async with measured(max_outbox=3, on_full=policy) as place:
        peer = place.websocket("/park")
        peer.acking = False
        await peer.open(window=[1, 1_000_000])
        session = await place.sessions.get()
        await session.join("news")
        for number in range(10):
            await place.rt.room("news").send(str(number))
        scraped = await scrape(place)
        assert scraped.of("realtime_drops_total", policy=policy) == drops
        assert sum(scraped.of("realtime_drops_total", policy=other) for other in POLICIES) == drops
        assert scraped.of("realtime_ends_total", code="1008") == (policy == "close")


# -- rooms -----------------------------------------------------------------------------------------------------------


async def test_rooms_and_their_members() -> None:
    async with measured() as place:
        (_, one), (_, two) = await place.parked("websocket"), await place.parked("polling")
        await one.join("a")
        await two.join("a")
        await two.join("b")
        scraped = await scrape(place)
        assert (scraped.of("realtime_rooms"), scraped.of("realtime_room_members")) == (2, 3)
        await two.leave("b")
        scraped = await scrape(place)
        assert (scraped.of("realtime_rooms"), scraped.of("realtime_room_members")) == (1, 2)


# -- handlers and ends -----------------------------------------------------------------------------------------------


async def test_handlers_by_result_and_ends_by_code(caplog: pytest.LogCaptureFixture) -> None:
    async with measured(close_timeout=0.01) as place:

        @place.rt.endpoint("/raise")
        async def fail(session: realtime.Session) -> None:
            raise ValueError("as asked")

        @place.rt.endpoint("/other")
        async def other(session: realtime.Session) -> None:
            raise realtime.SessionClosed(1000)  # of some other session

        @place.rt.endpoint("/stay")
        async def stay(session: realtime.Session) -> None:
            await asyncio.Event().wait()

        for path in ("/raise", "/other", "/stay"):
            session = await realtime.connect(place.url(path))
            await session.close(4999)
            await session.wait_closed()
        await eventually(lambda: not place.rt._service.sessions.handlers.tasks)
        scraped = await scrape(place)
    assert scraped.of("realtime_handler_seconds_count", result="raised") == 2
    assert scraped.of("realtime_handler_seconds_count", result="cancelled") == 1
    ends = {dict(labels)["code"]: value for (name, labels), value in scraped.items() if name == "realtime_ends_total"}
    assert sum(ends.values()) == 3
    assert ends["application"] >= 1
    assert ends["1011"] + ends["application"] == 3


# -- refusals --------------------------------------------------------------------------------------------------------


async def test_refusals_by_code() -> None:
    settings = {
        "max_sessions": 1,
        "transports": ("websocket", "sse", "polling"),
        "max_batch_size": 1000,
        "max_size": 1000,
    }
    async with measured(**settings) as place:
        base, http = place.url("/echo"), place.http
        await http.post(base + "/v1/polling", headers={"Origin": "https://elsewhere.example"})  # 4403
        await http.post(place.url("/nowhere") + "/v1/polling")  # 4406
        await http.post(base + "/v1/long_polling")  # 4406
        await http.get(base + "/v1/polling")  # 4405
        await http.get(base + "/v1/websocket")  # 4400: no Upgrade
        await http.post(base + "/v1/polling", data=b"not JSON")  # 4400
        await http.get(base + "/v1/sse?frame=nonsense")  # 4400, in a stream
        await http.post(base + "/v1/polling", data=b'["rnobody,1,0,0,1"]')  # 4404
        await http.post(base + "/v1/send", data=b'["o' + b" " * 100_000 + b'"]')  # 4413
        async with http.ws_connect(base + "/v1/websocket") as ws:
            await ws.send_str("rnobody,1,0,0,1")  # 4404
            assert (await ws.receive_str()).startswith("x4404,")
        async with http.ws_connect(base + "/v1/websocket") as ws:
            await ws.send_str("mhello")  # 4400
            assert (await ws.receive_str()).startswith("x4400,")
        async with http.ws_connect(place.url("/nowhere") + "/v1/websocket") as ws:  # 4406
            assert (await ws.receive_str()).startswith("x4406,")
        await place.websocket().open()
        with pytest.raises(AssertionError):
            await place.polls(transport="polling").open()  # 4429
        scraped = await scrape(place)
    counts = {
        dict(labels)["code"]: value
        for (name, labels), value in scraped.items()
        if name == "realtime_refusals_total" and value
    }
    assert counts == {"4400": 4, "4403": 1, "4404": 2, "4405": 1, "4406": 3, "4413": 1, "4429": 1}


async def test_refusals_of_those_who_say_nothing() -> None:
    async with measured(open_timeout=0.05) as place:
        async with place.http.ws_connect(place.url("/echo") + "/v1/websocket") as ws:
            assert (await ws.receive_str()).startswith("x4408,")
        scraped = await scrape(place)
        assert scraped.of("realtime_refusals_total", code="4408") == 1
    async with measured() as place:
        (tally,) = place.rt._service.sessions.observers
        assert isinstance(tally, Tally)
        ws = await place.http.ws_connect(place.url("/echo") + "/v1/websocket")
        await place.stop()
        assert tally.refusals == {"4503": 1}
        await ws.close()


async def test_a_body_that_never_comes_is_refused() -> None:
    async with measured(request_timeout=0.05) as place:
        reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
        writer.write(b"POST /realtime/echo/v1/send HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n[")
        assert b" 408 " in await reader.readline()
        writer.close()
        scraped = await scrape(place)
        assert scraped.of("realtime_refusals_total", code="4408") == 1


# -- cardinality -----------------------------------------------------------------------------------------------------


async def test_rubbish_makes_no_series() -> None:
    """Whatever clients send: no name, code, id, room or address of theirs becomes a label."""
    async with measured() as place:
        for number in range(30):
            await place.http.post(place.url(f"/junk{number}") + "/v1/polling", data=b"[]")
            await place.http.post(place.url("/echo") + f"/v1/junk{number}", data=b"[]")
            await place.http.post(place.url("/echo") + f"/v{number + 2}/polling", data=b"[]")
            await place.http.post(place.url("/echo") + "/v1/polling", data=f'["rjunk{number},1,0,0,1"]'.encode())
            session = await realtime.connect(place.url("/echo"), transports=["websocket"])
            await session.close(4600 + number)
            peer, held = await place.parked("polling", headers={"X-Forwarded-For": f"10.0.0.{number}"})
            await held.join(f"junk{number}")
            assert (await peer.send(f"c{3000 + number},")).status == 200
        scraped = await scrape(place)
    for (name, labels), _ in scraped.items():
        for label, value in labels:
            assert "junk" not in value
            if label == "code":
                assert value in {*map(str, END_CODES), *map(str, REFUSAL_CODES), "application", "other"}
            elif label in ("transport", "from", "to"):
                assert value in {*TRANSPORTS, "none", "other"}
            else:
                assert label in ("state", "cause", "reason", "direction", "policy", "result", "told", "le"), name
    assert len(scraped) < 280
    assert scraped.of("realtime_ends_total", code="application") == 60


def test_labels_are_of_a_known_set() -> None:
    assert [transport_label(name) for name in ("websocket", "", "carrier pigeon")] == ["websocket", "none", "other"]
    codes = [1000, 4404, 4411, 3000, 4999, 0, 999, 5000, 1004]
    labels = ["1000", "4404", "application", "application", "application", "other", "other", "other", "other"]
    assert [code_label(code) for code in codes] == labels


def test_the_codes_are_those_of_the_protocol() -> None:
    rows = re.findall(r"^\| (\d{4}) \|", (DOCS / "protocol.md").read_text("utf-8"), re.MULTILINE)
    ours = set(END_CODES) | set(REFUSAL_CODES)
    assert {int(row) for row in rows} | {1000, 1001} == ours | {4411}
    assert all(400 <= http_status(code, "carrier") < 600 for code in REFUSAL_CODES)


# -- counting, without a server --------------------------------------------------------------------------------------


def test_a_histogram_includes_its_bounds() -> None:
    times = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 3.0):
        times.observe(value)
    assert (times.counts, times.total) == ([2, 2, 1], 8.0)


def test_an_ended_session_is_counted_on() -> None:
    machine = NumberedMachine(Config(), WIDE, Diary(), 0.0, sid="s")
    tally = Tally()
    tally.opened(machine, "websocket")
    machine.duplicates, machine.outbox.dropped = 3, 2
    before, live = tally.sums()
    assert live == {("none", "connecting"): 1}
    machine.end(4321, "", 0.0)
    tally.ended(machine)
    after, live = tally.sums()
    assert not live
    for name in Sums.__slots__:
        assert getattr(before, name) == getattr(after, name)
    assert (after.duplicates, after.drops, tally.ends) == (3, {"wait": 2}, {"application": 1})


def test_a_late_carrier_changes_no_transport() -> None:
    tally, machine = Tally(), NumberedMachine(Config(), WIDE, Diary(), 0.0, sid="s")
    tally.attached(machine, Cause.LATE, "websocket", "polling", False)
    tally.attached(machine, Cause.UPGRADE, "polling", "websocket", False)
    tally.attached(machine, Cause.REPEATED, "websocket", "websocket", False)
    assert tally.changes == {("polling", "websocket", "moved"): 1}
    assert tally.attaches[("polling", "late")] == 1


def test_a_handler_is_counted_by_its_result() -> None:
    tally = Tally()
    tally.handled(NumberedMachine(Config(), WIDE, Diary(), 0.0, sid="s"), 5.0, Result.RAISED)
    assert sum(tally.handlers[Result.RAISED].counts) == 1
    assert tally.handlers[Result.RAISED].total == 5.0


# -- setting up ------------------------------------------------------------------------------------------------------


async def test_sessions_that_were_there_before_are_counted() -> None:
    async with serving() as place:
        peer, session = await place.parked("websocket")
        await peer.send("mone")
        await session.receive()
        collected = metrics.Metrics(place.rt)
        await session.send("two")
        assert await peer.news() == "mtwo"
        value = collected.registry.get_sample_value
        assert value("realtime_sessions", {"transport": "websocket", "state": "open"}) == 1
        assert value("realtime_messages_total", {"direction": "in"}) == 1
        assert value("realtime_messages_total", {"direction": "out"}) == 1
        await peer.resume()  # its attaches, too
        assert value("realtime_attaches_total", {"transport": "websocket", "cause": "resume"}) == 1


async def test_scrapes_from_another_thread() -> None:
    async with serving() as place:
        collected = metrics.Metrics(place.rt)
        over = threading.Event()
        seen: list[float] = []

        def scrape() -> None:
            while not over.is_set():
                for family in collected.collect():
                    seen.extend(sample.value for sample in family.samples if sample.name == "realtime_messages_total")

        scraping = asyncio.create_task(asyncio.to_thread(scrape))
        for _ in range(30):
            async with realtime.connect(place.url("/echo"), transports=["websocket"]) as session:
                await session.send("hello")
                await session.receive()
        over.set()
        await scraping
    assert sorted(seen[::2]) == seen[::2]
    assert sorted(seen[1::2]) == seen[1::2]


async def test_open_metrics_and_a_path_and_registry_of_ones_own() -> None:
    app, rt, registry = web.Application(), realtime.Server(), CollectorRegistry()
    assert metrics.setup(app, rt, path="/inner/figures", registry=registry).registry is registry
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/inner/figures"
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    async with aiohttp.ClientSession() as http, http.get(url, headers=accept) as response:
        assert response.headers["Content-Type"].startswith("application/openmetrics-text")
        families = list(parse_openmetrics(await response.text()))  # type: ignore[no-untyped-call]
    for nonsense in ("application/openmetrics-text; version=x", "text/plain; version=1..2"):
        async with aiohttp.ClientSession() as http, http.get(url, headers={"Accept": nonsense}) as response:
            assert response.status == 200
    await runner.cleanup()
    assert {family.name for family in families} == {name.removesuffix("_total") for name in CATALOGUE}


def test_a_registry_has_one_server() -> None:
    one, two, registry = realtime.Server(), realtime.Server(), CollectorRegistry()
    metrics.Metrics(one, registry=registry)
    for server in (one, two):
        with pytest.raises(ValueError, match="Duplicated timeseries"):
            metrics.Metrics(server, registry=registry)
    assert (len(one._service.sessions.observers), len(two._service.sessions.observers)) == (
        1,
        0,
    )  # the failure left nothing behind


async def test_a_server_may_have_several_metrics() -> None:
    async with measured() as place:
        other = metrics.Metrics(place.rt)
        async with realtime.connect(place.url("/echo"), transports=["websocket"]):
            pass
        assert other.registry.get_sample_value("realtime_opens_total", {"transport": "websocket"}) == 1
        assert (await scrape(place)).of("realtime_opens_total", transport="websocket") == 1


def test_a_path_starts_with_a_slash_and_is_checked_first() -> None:
    rt = realtime.Server()
    with pytest.raises(ValueError, match='a path starts with "/"'):
        metrics.setup(web.Application(), rt, path="metrics")
    metrics.setup(web.Application(), rt)


def test_without_prometheus_client_the_error_says_what_to_install() -> None:
    program = """
import sys
sys.modules["prometheus_client"] = None
from aiohttp import web
import realtime, realtime.metrics
rt = realtime.Server()
for use in (lambda: realtime.metrics.Metrics(rt), lambda: realtime.metrics.setup(web.Application(), rt)):
    try:
        use()
    except ImportError as error:
        print(error)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    sentence = "realtime.metrics needs prometheus-client: pip install 'aiohttp-realtime[metrics]'"
    assert run.stdout.splitlines() == [sentence] * 2


def test_the_package_itself_does_not_load_prometheus_client() -> None:
    program = "import sys, realtime; print('prometheus_client' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_the_document_lists_every_metric() -> None:
    text = (DOCS / "metrics.md").read_text("utf-8")
    rows = re.findall(r"^\| `(realtime_\w+)` \| (\w+) \|([^|]*)\| ([^|]*) \|", text, re.MULTILINE)
    listed = {name: (kind, tuple(re.findall(r"`(\w+)`", labels)), meaning) for name, kind, labels, meaning in rows}
    kinds = {"CounterMetricFamily": "counter", "GaugeMetricFamily": "gauge", "HistogramMetricFamily": "histogram"}
    assert listed == {name: (kinds[entry.kind.__name__], entry.labels, entry.help) for name, entry in CATALOGUE.items()}
    for cause in Cause:
        assert f"| `{cause.value}` |" in text
