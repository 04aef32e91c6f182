"""The probe, step by step."""

from __future__ import annotations

import itertools

import pytest

from realtime.protocols.engineio.packets import Packet
from realtime.protocols.engineio.upgrade import TRANSITIONS, Act, Event, Stage, Upgrade, event_of

PATHS = [
    ((Event.CONNECT, Event.PROBE, Event.UPGRADE), (Act.TRY, Act.ANSWER, Act.SWITCH), Stage.DONE),
    ((Event.CONNECT, Event.UPGRADE), (Act.TRY, Act.SWITCH), Stage.DONE),
    ((Event.CONNECT, Event.PROBE, Event.PROBE), (Act.TRY, Act.ANSWER, Act.ANSWER), Stage.PROBED),
    ((Event.CONNECT, Event.LOST), (Act.TRY, Act.DROP), Stage.POLLING),
    ((Event.CONNECT, Event.OTHER), (Act.TRY, Act.DROP), Stage.POLLING),
    ((Event.CONNECT, Event.PROBE, Event.LOST), (Act.TRY, Act.ANSWER, Act.DROP), Stage.POLLING),
    ((Event.CONNECT, Event.PROBE, Event.OTHER), (Act.TRY, Act.ANSWER, Act.DROP), Stage.POLLING),
    ((Event.CONNECT, Event.CONNECT), (Act.TRY, Act.REFUSE), Stage.TRYING),
    ((Event.CONNECT, Event.PROBE, Event.CONNECT), (Act.TRY, Act.ANSWER, Act.REFUSE), Stage.PROBED),
    ((Event.CONNECT, Event.LOST, Event.CONNECT), (Act.TRY, Act.DROP, Act.TRY), Stage.TRYING),
]


@pytest.mark.parametrize(("events", "acts", "stage"), PATHS, ids=str)
def test_paths(events: tuple[Event, ...], acts: tuple[Act, ...], stage: Stage) -> None:
    upgrade = Upgrade(possible=True)
    assert tuple(map(upgrade.step, events)) == acts
    assert upgrade.stage is stage


def test_where_nothing_can_be_upgraded_to() -> None:
    upgrade = Upgrade(possible=False)
    assert upgrade.step(Event.CONNECT) is Act.REFUSE
    assert repr(upgrade) == "<Upgrade done>"


def test_the_table_is_complete_where_a_websocket_is_tried() -> None:
    tried = itertools.product((Stage.TRYING, Stage.PROBED), Event)
    assert set(tried) | {(Stage.POLLING, Event.CONNECT), (Stage.DONE, Event.CONNECT)} == set(TRANSITIONS)


def test_only_one_that_is_tried_carries() -> None:
    for (stage, _), (after, act) in TRANSITIONS.items():
        assert (act is Act.SWITCH) == (after is Stage.DONE and stage is not Stage.DONE)


@pytest.mark.parametrize(
    ("packet", "event"),
    [
        (Packet("2", "probe"), Event.PROBE),
        (Packet("2"), Event.OTHER),
        (Packet("5"), Event.UPGRADE),
        (Packet("4", "probe"), Event.OTHER),
        (Packet(""), Event.OTHER),
    ],
)
def test_what_a_packet_on_the_tried_websocket_means(packet: Packet, event: Event) -> None:
    assert event_of(packet) is event
