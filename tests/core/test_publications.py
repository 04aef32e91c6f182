"""What was published: asked again, never sent twice; and what was acknowledged and may be taken back."""

from __future__ import annotations

from realtime.core.publications import Acknowledged, Publication
from realtime.core.rooms import Entry, Position, Reading


def test_an_attempt_that_was_answered_or_not_written_is_known() -> None:
    publication = Publication("room", "w-1")
    assert not publication.maybe_sent
    assert not publication.attempt("run 1")
    assert publication.flying
    assert publication.maybe_sent
    publication.refused()
    assert not publication.flying
    assert not publication.maybe_sent
    assert not publication.attempt("run 2")  # it was never written: another run is as good


def test_an_unknown_outcome_is_repeated_to_the_same_run_and_asked_of_another() -> None:
    publication = Publication("room", "w-1")
    publication.attempt("run 1")
    publication.unanswered()
    assert publication.maybe_sent
    assert not publication.flying
    assert not publication.attempt("run 1")
    publication.unanswered()
    assert publication.attempt("run 2")
    publication.unanswered()
    assert not publication.attempt("run 1")


def test_what_was_acknowledged_is_known_for_two_sweeps() -> None:
    acknowledged = Acknowledged()
    acknowledged.add("a", "1", Position(7, 3, "x"))
    acknowledged.add("a", "1", Position(7, 2, "w"))  # an older one
    assert acknowledged.questions(lambda room: "1") == []
    assert acknowledged.questions(lambda room: "") == []
    assert acknowledged.questions(lambda room: "2") == [("a", "1", Position(7, 3, "x"))]
    acknowledged.sweep({"2"})
    acknowledged.sweep({"1"})
    assert len(acknowledged) == 1
    acknowledged.add("a", "1", Position(7, 4, "y"))
    acknowledged.sweep({"1"})
    acknowledged.sweep({"1"})
    assert len(acknowledged) == 0


def test_what_survived_is_known_of_the_new_run() -> None:
    acknowledged = Acknowledged()
    acknowledged.add("a", "1", Position(7, 3, "x"))
    entries = (Entry(7, 3, "x", "w", b""),)
    assert acknowledged.compared("a", "1", Reading(7, 5, "z", entries=entries), "2") is None
    assert acknowledged.questions(lambda room: "3") == [("a", "2", Position(7, 3, "x"))]
    assert acknowledged.compared("a", "1", Reading(7, 5, "z"), "3") is None  # it was compared already


def test_what_is_gone_raises_the_epoch_until_it_is_raised() -> None:
    for reading, raising in (
        (Reading(7, 5, "z", ids={3: "other"}), (7, 7)),
        (Reading(7, 5, "z"), (7, 7)),  # nobody can tell any more
        (Reading(7, 2, "w"), (7, 7)),  # the end is before it
        (Reading(6, 9, "w"), (6, 7)),
    ):
        acknowledged = Acknowledged()
        acknowledged.add("a", "1", Position(7, 3, "x"))
        assert acknowledged.compared("a", "1", reading, "2") == raising
        assert acknowledged.compared("a", "1", reading, "2") == raising  # nobody has done it
        assert acknowledged.compared("a", "1", Reading(8, 1, "w"), "2") is None
        # That it was raised may be forgotten, too.
        assert acknowledged.questions(lambda room: "3") == [("a", "2", Position(8, 1, "w"))]
