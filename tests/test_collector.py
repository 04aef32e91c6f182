"""The tuning of the garbage collector: what it changes, and that all of it is undone."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

import realtime
from realtime.collector import THRESHOLDS


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    gc.unfreeze()  # what conftest.py has frozen
    before = gc.get_threshold()
    yield
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)
    gc.collect()
    gc.freeze()


def test_what_is_there_is_frozen_and_collections_become_rare() -> None:
    there = len(gc.get_objects())
    undo = realtime.tune_gc()
    assert gc.get_freeze_count() > there / 2
    assert len(gc.get_objects()) < there / 2  # what a full collection looks at
    assert gc.get_threshold() == THRESHOLDS
    undo()


def test_garbage_is_collected_all_the_same() -> None:
    class Knot:
        def __init__(self) -> None:
            self.self = self

    undo = realtime.tune_gc()
    Knot()
    assert gc.collect() > 0
    undo()


def test_called_twice_the_last_undo_counts_and_each_once() -> None:
    before = gc.get_threshold()
    one, two = realtime.tune_gc(), realtime.tune_gc()
    one()
    one()
    assert gc.get_threshold() == THRESHOLDS
    two()
    assert gc.get_threshold() == before
    realtime.tune_gc()()
