"""Errors hold data and write sentences; codes have HTTP statuses (docs/protocol.md §9)."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest

from realtime.core import errors
from realtime.core.errors import (
    BrokerError,
    EventError,
    LocalProtocolError,
    NegotiationError,
    RealtimeError,
    Refusal,
    RemoteProtocolError,
    SendBufferFull,
    SessionClosed,
    Unauthorized,
    clip,
    http_status,
    leaves_of,
)


@pytest.mark.parametrize(
    "error",
    [
        SessionClosed(1000),
        SendBufferFull(3, 10),
        LocalProtocolError("no"),
        RemoteProtocolError(1002, "no"),
        Refusal(4404, "no"),
        Unauthorized(),
        NegotiationError("no"),
        BrokerError("no"),
        EventError("no"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_all_errors_have_one_root(error: Exception) -> None:
    assert isinstance(error, RealtimeError)
    assert type(error).__name__ in errors.__all__
    assert type(error).__name__ in (errors.__doc__ or "")


# The table of docs/protocol.md §9, row by row.
@pytest.mark.parametrize(
    ("code", "scope", "status"),
    [
        (1000, "session", 410),
        (1001, "session", 410),
        (3000, "session", 410),
        (4999, "session", 410),
        (1002, "session", 400),
        (1003, "session", 400),
        (1007, "session", 400),
        (1008, "session", 410),
        (1009, "session", 413),
        (1011, "session", 410),
        (1012, "session", 410),
        (4400, "carrier", 400),
        (4401, "carrier", 401),
        (4403, "carrier", 403),
        (4404, "session", 404),
        (4405, "carrier", 405),
        (4406, "carrier", 404),
        (4408, "session", 410),
        (4408, "carrier", 408),
        (4409, "carrier", 409),
        (4409, "session", 410),  # an application's own code
        (4410, "session", 410),
        (4412, "session", 410),
        (4413, "carrier", 413),
        (4429, "carrier", 429),
        (4503, "carrier", 503),
    ],
)
def test_http_status_of_a_code(code: int, scope: str, status: int) -> None:
    assert http_status(code, scope) == status
    assert Refusal(code, "", scope=scope).http_status == status


def test_session_closed_says_code_and_reason() -> None:
    assert str(SessionClosed(1000)) == "the session was closed with 1000"
    error = SessionClosed(1008, "too slow")
    assert (error.code, error.reason) == (1008, "too slow")
    assert str(error) == "the session was closed with 1008 (too slow)"


def test_a_full_turn_says_what_helps() -> None:
    full = SendBufferFull(2, 10, in_turn=True)
    assert str(full) == (
        "2 messages (10 bytes) wait for the turn's commit; call session.commit() now and then, or raise max_turn or"
        " max_outbox_size"
    )
    assert "await session.send() instead" in str(SendBufferFull(2, 10))


def test_send_buffer_full_names_the_settings() -> None:
    error = SendBufferFull(1024, 5000)
    assert (error.messages, error.size) == (1024, 5000)
    assert str(error).startswith("1024 messages (5000 bytes) wait")
    assert "max_outbox" in str(error)


def test_remote_protocol_error() -> None:
    error = RemoteProtocolError(1007, "bad base64")
    assert (error.close_code, error.reason, error.http_status) == (1007, "bad base64", 400)
    assert str(error) == "bad base64 (close code 1007)"
    assert RemoteProtocolError(4413, "too large").http_status == 413


def test_refusal() -> None:
    refusal = Refusal(4429, "full")
    assert (refusal.code, refusal.reason, refusal.scope, refusal.received) == (4429, "full", "carrier", None)
    assert str(refusal) == "refused with 4429: full"
    assert Refusal(1000, "", scope="session", received=7).received == 7
    assert (refusal.retry_after, Refusal(4429, "full", retry_after=1.5).retry_after) == (None, 1.5)


def test_unauthorized_is_the_refusal_of_its_status() -> None:
    assert (Unauthorized().code, Unauthorized().http_status) == (4401, 401)
    forbidden = Unauthorized("not you", status=403)
    assert (forbidden.code, forbidden.http_status, forbidden.reason) == (4403, 403, "not you")
    with pytest.raises(ValueError, match="401 or 403, not 404"):
        Unauthorized(status=404)


def test_negotiation_error_tells_what_was_tried() -> None:
    assert str(NegotiationError("no session")) == "no session"
    error = NegotiationError("no session", {"websocket": "cut", "polling": "HTTP 502"})
    assert str(error) == "no session (websocket: cut; polling: HTTP 502)"
    assert error.attempts == {"websocket": "cut", "polling": "HTTP 502"}


@pytest.mark.parametrize(
    ("reason", "clipped"),
    [
        ("", ""),
        ("a, b", "a, b"),
        ("x" * 124, "x" * 123),
        ("é" * 62, "é" * 61),
        ("x" * 122 + "😀", "x" * 122),
        ("tab\tand\r\nnewline", "tab and  newline"),
        ("\ud800", " "),
        ("\u2028", " "),
    ],
)
def test_reasons_are_short_and_printable(reason: str, clipped: str) -> None:
    assert clip(reason) == clipped


def test_a_group_is_what_it_holds() -> None:
    one, two, three = ValueError(1), KeyError(2), SessionClosed(1000)
    assert leaves_of(one) == [one]
    assert leaves_of(BaseExceptionGroup("", [one, ExceptionGroup("", [two, three])])) == [one, two, three]


def test_a_broker_error_says_whether_it_may_have_been_sent() -> None:
    assert str(BrokerError()) == "the broker cannot be reached"
    assert not BrokerError().maybe_sent
    assert BrokerError().workers == ()
    assert BrokerError("no answer", workers=["a", "b"]).workers == ("a", "b")
    error = BrokerError("no answer", maybe_sent=True)
    assert (str(error), error.reason, error.maybe_sent) == ("no answer; it may have been sent", "no answer", True)


def test_an_event_error_says_what_was_answered() -> None:
    assert str(EventError("the room is full")) == "the room is full (error)"
    assert str(EventError("", code="failed")) == "the event was answered by an error (failed)"
    error = EventError("the room is full", code="full", data={"most": 3})
    assert (error.message, error.code, error.data) == ("the room is full", "full", {"most": 3})


def test_unauthorized_may_have_data() -> None:
    assert Unauthorized().data is None
    assert Unauthorized("no", data={"retry": 5}).data == {"retry": 5}


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Unauthorized(5),  # type: ignore[arg-type]
        lambda: Refusal(4401, None),  # type: ignore[arg-type]
        lambda: EventError(ValueError("x")),  # type: ignore[arg-type]
        lambda: EventError("x", code=404),  # type: ignore[arg-type]
    ],
)
def test_what_is_told_is_text(wrong: Callable[[], object]) -> None:
    with pytest.raises(TypeError, match=r"^(reason|message|code)=.*: takes text, not "):
        wrong()


@pytest.mark.parametrize(
    "error",
    [
        SendBufferFull(3, 10, in_turn=True),
        Refusal(4404, "no", scope="session", received=3, retry_after=1.5),
        Unauthorized("no", status=403, data={"a": [1]}),
        BrokerError("no", maybe_sent=True, workers=["a"]),
        EventError("no", code="taken", data=5),
        NegotiationError("no", {"sse": "cut"}),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_comes_back_from_another_process(error: RealtimeError) -> None:
    """A hook may look at passwords in a pool of processes, which breaks for good where an error does not."""
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert (type(other), vars(other), str(other)) == (type(error), vars(error), str(error))
