"""What a client knows of its transports, and which one comes next."""

from __future__ import annotations

import pytest

from realtime.core.choice import DUPLEX, HELD, POLL, STREAM, Choice, Rules

ALL = (("websocket", DUPLEX), ("xhr_streaming", STREAM), ("sse", STREAM), ("long_polling", HELD), ("polling", POLL))
NAMES = [name for name, _ in ALL]


def a_choice(**rules: object) -> Choice:
    return Choice(ALL, Rules(**rules))  # type: ignore[arg-type] # of tests


def order(choice: Choice, now: float) -> list[str]:
    """The transports, each as it comes next when those before are out of the question."""
    found = []
    ruled_out = dict(choice.ruled_out)
    while len(choice.ruled_out) < len(choice.ranks):
        found.append(choice.next(now))
        choice.ruled_out[found[-1]] = "had its turn"
    choice.ruled_out.clear()
    choice.ruled_out.update(ruled_out)
    return found


def test_the_order_is_the_applications_or_the_servers() -> None:
    choice = a_choice()
    assert order(choice, 0.0) == NAMES
    choice.rank(["polling", "teleportation", "websocket"])  # what the server does not name is out
    assert order(choice, 0.0) == ["polling", "websocket"]
    choice.rank(["teleportation"])  # a list of nothing that this client can run is no order
    assert choice.allowed() == ["polling", "websocket"]


def test_what_has_failed_waits_and_comes_back() -> None:
    choice = a_choice()
    choice.failed("websocket", "reset", 100.0, carrier=True)
    assert choice.attempts == {"websocket": "reset"}
    assert choice.next(100.0) == "xhr_streaming"
    assert choice.retry_at("websocket", 100.0) == 105.0
    assert choice.next(105.0) == "xhr_streaming"  # it has failed since a carrier was of use: the others first
    assert not choice.of_use()  # one alone is no sign of a network that was gone
    assert choice.next(105.0) == "websocket"
    choice.failed("websocket", "reset", 105.0)
    assert choice.retry_at("websocket", 105.0) == 115.0


def test_if_all_have_failed_the_soonest_comes_next() -> None:
    choice = a_choice(upgrade_interval=(5.0, 10.0))
    for at, name in enumerate(reversed(NAMES)):
        choice.failed(name, "reset", float(at), carrier=True)
    assert order(choice, 4.5) == list(reversed(NAMES))
    assert order(choice, 60.0) == list(reversed(NAMES))  # all well again: the one whose failure is longest ago


def test_several_that_failed_in_a_row_met_a_network_that_was_gone() -> None:
    choice = a_choice()
    for name in NAMES[:2]:
        choice.failed(name, "reset", 1.0, carrier=True)
    choice.failed("polling", "reset", 1.0)  # beside a carrier, so the network was there
    assert choice.in_trouble
    assert choice.of_use()
    assert not choice.in_trouble
    assert choice.history(2.0) == {"polling": ("reset", 1.0)}


def test_what_holds_one_stream_back_holds_them_all() -> None:
    choice = a_choice()
    choice.failed("xhr_streaming", "held back", 1.0, carrier=True, held=True)
    assert choice.history(1.0) == {"xhr_streaming": ("held back", 0.0), "sse": ("another stream was held back", 0.0)}
    assert choice.attempts == {"xhr_streaming": "held back"}
    assert not choice.in_trouble  # the network is there


def test_what_is_out_of_the_question_is_no_evidence() -> None:
    choice = Choice(ALL[:2], Rules())
    assert choice.rule_out("websocket", "not here")
    assert choice.ruled_out == choice.attempts == {"websocket": "not here"}
    assert choice.history(0.0) == {}
    assert choice.next(0.0) == "xhr_streaming"
    assert not choice.rule_out("xhr_streaming", "nor here")
    assert choice.back_at(7.0) == 7.0


def test_who_said_when_to_come_back_is_heeded() -> None:
    choice = Choice(ALL[:2], Rules())
    choice.come_back("websocket", 20.0)
    assert (choice.next(1.0), choice.back_at(1.0)) == ("xhr_streaming", 1.0)
    choice.come_back("xhr_streaming", 10.0)
    assert (choice.next(1.0), choice.back_at(1.0)) == ("xhr_streaming", 10.0)
    assert choice.history(1.0) == {}
    choice.forget()
    assert (choice.next(1.0), choice.back_at(1.0)) == ("websocket", 1.0)


def test_another_network_is_another_chance() -> None:
    choice = a_choice()
    choice.failed("websocket", "reset", 1.0, carrier=True)
    choice.forget()
    assert not choice.in_trouble
    assert choice.next(1.0) == "websocket"


def test_what_opens_a_session_for_others_is_a_poll_that_is_well() -> None:
    choice = a_choice()
    assert choice.opener(0.0) == "long_polling"
    choice.failed("long_polling", "reset", 0.0)
    assert choice.opener(0.0) == "polling"
    choice.rule_out("polling", "not here")
    assert choice.opener(0.0) == ""
    assert choice.opener(5.0) == "long_polling"


def test_where_requests_are_held_enough_another_one_waits() -> None:
    choice = a_choice()
    choice.crowded = True
    assert order(choice, 0.0) == ["websocket", "polling", "xhr_streaming", "sse", "long_polling"]
    assert choice.opener(0.0) == "polling"


@pytest.mark.parametrize(
    ("current", "better"),
    [
        ("websocket", []),
        ("xhr_streaming", ["websocket"]),
        ("sse", ["websocket"]),
        ("long_polling", ["websocket", "xhr_streaming", "sse"]),
        ("polling", ["websocket", "xhr_streaming", "sse", "long_polling"]),
        ("multipart", []),  # not among them
    ],
)
def test_what_is_better(current: str, better: list[str]) -> None:
    choice = a_choice()
    assert choice.better(current, in_doubt=False) == better
    assert choice.better(current, in_doubt=True) == ["websocket", "polling"]
    if better:
        choice.rule_out("websocket", "not here")
        assert choice.better(current, in_doubt=False) == better[1:]
