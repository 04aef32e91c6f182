"""MESSAGE frames: what receivers share and what they have for themselves, by version."""

from __future__ import annotations

from realtime.protocols.layers.stomp.frames import V10, V11, V12
from realtime.protocols.layers.stomp.messages import error, own_part, passed_on, shared_part


def test_a_message_is_two_parts() -> None:
    shared = shared_part(V12, "/topic/a:b", {"content-type": "text/plain", "x": "\r"}, b"hi")
    assert shared == b"destination:/topic/a\\cb\ncontent-length:2\ncontent-type:text/plain\nx:\\r\n\nhi\0"
    assert own_part(V12, "0", "7", "7") + shared == b"MESSAGE\nsubscription:0\nmessage-id:7\nack:7\n" + shared
    assert own_part(V11, "a:b", "7", redelivered=True) == (
        b"MESSAGE\nsubscription:a\\cb\nmessage-id:7\nredelivered:true\n"
    )
    assert own_part(V10, "", "7") == b"MESSAGE\nmessage-id:7\n"


def test_what_a_version_cannot_say_is_left_out() -> None:
    headers = {"a": "b", "new\nline": "x", "y": "new\nline", "co:lon": "x"}
    assert shared_part(V10, "/t", headers, b"") == b"destination:/t\ncontent-length:0\na:b\n\n\0"


def test_what_of_a_send_is_passed_on() -> None:
    sent = {"destination": "/t", "receipt": "1", "transaction": "t", "content-length": "1", "message-id": "x"}
    sent |= {"subscription": "s", "ack": "a", "redelivered": "true"}
    assert passed_on({**sent, "content-type": "text/plain", "foo": "bar"}) == {
        "content-type": "text/plain",
        "foo": "bar",
    }


def test_an_error_is_told_whatever_is_in_it() -> None:
    assert error(V12, "no", {"receipt-id": "1"}) == (
        b"ERROR\nmessage:no\ncontent-type:text/plain\nreceipt-id:1\ncontent-length:2\n\nno\0"
    )
    assert error(V10, "a\0\n\ud800", {"receipt-id": "\0"}) == (
        b"ERROR\nmessage:a ?\ncontent-type:text/plain\ncontent-length:4\n\na \n?\0"
    )
