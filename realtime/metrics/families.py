"""Every metric there is, and a tally as prometheus-client's metric families."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import accumulate, product
from typing import NamedTuple, TypeVar

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.utils import floatToGoString

from ..core.lifecycle import State
from ..core.negotiation import DEMOTED
from ..service import Service
from ..transports import TRANSPORTS
from ..web.carried import Counts
from .tally import END_CODES, POLICIES, REFUSAL_CODES, Histogram, Tally

__all__ = ["CATALOGUE", "Entry", "collect", "describe"]

Labels = TypeVar("Labels", bound=tuple[str, ...])


class Entry(NamedTuple):
    """One metric. `name` is what is scraped, with the suffix of a counter."""

    name: str
    kind: type[CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily]
    labels: tuple[str, ...]
    help: str

    def family(self) -> CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily:
        """The family, without samples."""
        return self.kind(self.name, self.help, labels=self.labels)


COUNTER: type[CounterMetricFamily] = CounterMetricFamily
GAUGE: type[GaugeMetricFamily] = GaugeMetricFamily
HISTOGRAM: type[HistogramMetricFamily] = HistogramMetricFamily

# docs/metrics.md has the same table; a test compares them.
CATALOGUE: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        Entry("realtime_sessions", GAUGE, ("transport", "state"), "Sessions that have not ended."),
        Entry("realtime_opens_total", COUNTER, ("transport",), "Sessions opened, by the transport that opened them."),
        Entry(
            "realtime_demotions_total",
            COUNTER,
            ("transport", "reason"),
            "Transports that a new session leaves for later.",
        ),
        Entry("realtime_attaches_total", COUNTER, ("transport", "cause"), "Carriers and polls that took up a session."),
        Entry(
            "realtime_transport_changes_total",
            COUNTER,
            ("from", "to", "reason"),
            "Sessions that went on by another transport.",
        ),
        Entry("realtime_messages_total", COUNTER, ("direction",), "Messages, each counted once."),
        Entry("realtime_message_bytes_total", COUNTER, ("direction",), "Payload bytes of messages, each counted once."),
        Entry("realtime_replays_total", COUNTER, (), "Messages written again, on a further carrier."),
        Entry("realtime_duplicates_total", COUNTER, (), "Messages that came again and were discarded."),
        Entry("realtime_drops_total", COUNTER, ("policy",), "Messages not sent, because the outbox was full."),
        Entry("realtime_refusals_total", COUNTER, ("code",), "Requests and WebSockets refused."),
        Entry("realtime_ends_total", COUNTER, ("code",), "Sessions ended."),
        Entry("realtime_flush_seconds", HISTOGRAM, (), "Time to write what is due, once per turn of the event loop."),
        Entry("realtime_handler_seconds", HISTOGRAM, ("result",), "Time from a handler's start to its end."),
        Entry("realtime_rooms", GAUGE, (), "Rooms with somebody in them."),
        Entry("realtime_room_members", GAUGE, (), "Places taken in all rooms together."),
        Entry("realtime_forwards_total", COUNTER, (), "Requests and WebSockets carried to other workers."),
        Entry("realtime_hops", GAUGE, (), "Connections to other workers."),
        Entry("realtime_hops_refused_total", COUNTER, (), "Strangers at the inner port, and requests without a seal."),
        Entry(
            "realtime_ready", GAUGE, (), "1 while health() says so: a broker, if there is one, is reached and heard."
        ),
        Entry("realtime_rooms_followed", GAUGE, (), "Rooms over the broker that this worker is subscribed to."),
        Entry("realtime_publishes_total", COUNTER, ("result",), "Messages to rooms that go over the broker."),
        Entry("realtime_room_gaps_total", COUNTER, ("told",), "Gaps in what a room sent that were told."),
        Entry(
            "realtime_room_repairs_total",
            COUNTER,
            (),
            "Messages that were read before a subscription brought them.",
        ),
        Entry("realtime_room_epochs_total", COUNTER, (), "Epochs of rooms raised here, since the store went back."),
        Entry("realtime_broker_commands_total", COUNTER, ("result",), "Commands to the broker's store."),
        Entry("realtime_broker_command_seconds_total", COUNTER, (), "Time until commands were answered, together."),
        Entry("realtime_broker_deafnesses_total", COUNTER, (), "Subscriptions made again, since beats were not heard."),
    )
}


def describe() -> Iterator[Metric]:
    """All families, without samples."""
    for entry in CATALOGUE.values():
        yield entry.family()


def collect(tally: Tally, service: Service, carried: Counts) -> Iterator[Metric]:
    """All families, as they stand now."""
    sums, live = tally.sums()
    hub, counts = service.sessions.hub, service.broker_counts
    rooms, members = hub.counts()
    shared = hub.shared
    states = [state.value for state in State if state is not State.CLOSED]
    yield _counted("realtime_sessions", dict.fromkeys(product(("none", *TRANSPORTS), states), 0) | live)
    yield _counted("realtime_opens_total", _singles(dict.fromkeys(TRANSPORTS, 0) | tally.opens))
    demoted = dict.fromkeys(product(TRANSPORTS, DEMOTED), 0)
    yield _counted("realtime_demotions_total", demoted | service.networks.demotions.copy())
    yield _counted("realtime_attaches_total", tally.attaches.copy())
    yield _counted("realtime_transport_changes_total", tally.changes.copy())
    yield _counted("realtime_messages_total", _singles({"in": sums.messages_in, "out": sums.messages_out}))
    yield _counted("realtime_message_bytes_total", _singles({"in": sums.bytes_in, "out": sums.bytes_out}))
    yield _counted("realtime_replays_total", {(): sums.replays})
    yield _counted("realtime_duplicates_total", {(): sums.duplicates})
    yield _counted("realtime_drops_total", _singles(dict.fromkeys(POLICIES, 0) | sums.drops))
    yield _counted("realtime_refusals_total", _singles(dict.fromkeys(map(str, REFUSAL_CODES), 0) | tally.refusals))
    yield _counted("realtime_ends_total", _singles(dict.fromkeys(map(str, END_CODES), 0) | tally.ends))
    yield _timed("realtime_flush_seconds", {(): tally.flushes})
    yield _timed("realtime_handler_seconds", {(result.value,): times for result, times in tally.handlers.items()})
    yield _counted("realtime_rooms", {(): rooms})
    yield _counted("realtime_room_members", {(): members})
    yield _counted("realtime_forwards_total", {(): carried.forwards})
    yield _counted("realtime_hops", {(): carried.hops})
    yield _counted("realtime_hops_refused_total", {(): carried.refused})
    yield _counted("realtime_ready", {(): int(service.health().ready)})
    yield _counted("realtime_rooms_followed", {(): 0 if shared is None else shared.followed})
    published = {"published": counts.published, "failed": counts.failed, "unknown": counts.unknown}
    yield _counted("realtime_publishes_total", _singles(published))
    yield _counted("realtime_room_gaps_total", _singles({"room": counts.gaps, "member": counts.gaps_of_joins}))
    yield _counted("realtime_room_repairs_total", {(): counts.repaired})
    yield _counted("realtime_room_epochs_total", {(): counts.raised})
    commands = {"answered": counts.answered, "refused": counts.refused, "unanswered": counts.unanswered}
    yield _counted("realtime_broker_commands_total", _singles(commands))
    yield _counted("realtime_broker_command_seconds_total", {(): counts.seconds})
    yield _counted("realtime_broker_deafnesses_total", {(): counts.deafnesses})


def _singles(values: Mapping[str, int]) -> dict[tuple[str, ...], int]:
    return {(label,): value for label, value in values.items()}


def _counted(name: str, values: Mapping[Labels, float]) -> Metric:
    family = CATALOGUE[name].family()
    assert not isinstance(family, HistogramMetricFamily)
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family


def _timed(name: str, values: Mapping[tuple[str, ...], Histogram]) -> Metric:
    family = CATALOGUE[name].family()
    assert isinstance(family, HistogramMetricFamily)
    for labels, times in values.items():
        bounds = [*map(floatToGoString, times.bounds), "+Inf"]
        family.add_metric(labels, list(zip(bounds, accumulate(times.counts), strict=True)), times.total)
    return family
