"""The native codec and its readers, with real machines behind them (docs/protocol.md §3-§9)."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from realtime.core.carrier import Capabilities, NumberedCarrier, Shape
from realtime.core.client_machine import Attach, ClientMachine, Uplink
from realtime.core.config import Config
from realtime.core.errors import Refusal, RemoteProtocolError
from realtime.core.frames import Dropped, Outgoing, Window
from realtime.core.lifecycle import State
from realtime.core.numbered_machine import NumberedMachine
from realtime.core.proof import Key, Proof, ticket
from realtime.protocols.native import (
    NativeCodec,
    Open,
    Opened,
    Renewal,
    RequestHead,
    attach_frame,
    feed_client,
    feed_server,
    open_frame,
    opened_frame,
    parse_head,
    parse_open,
    parse_refusal,
    parse_renewal,
    refusal_frame,
    renewal_frame,
    ticket_frame,
    ticket_frames,
    uplink_frames,
)
from realtime.transports import LongPolling, Polling, WebSocket, WebSocketMessages

from ..core.fakes import SMALL, WIDE, Diary, FakeLink

MESSAGES = NativeCodec(WebSocketMessages(), "client")
WEBSOCKET = NativeCodec(WebSocket())
LONG = NativeCodec(LongPolling())
PLAIN = NativeCodec(Polling())
NONCE = "abcdefghij-_0123456789"


# -- frames out ------------------------------------------------------------------------------------------------------


def test_a_codec_is_its_transports() -> None:
    assert (WEBSOCKET.name, WEBSOCKET.shape, WEBSOCKET.held) == ("websocket", Shape.DUPLEX, False)
    assert (LONG.name, LONG.shape, LONG.held) == ("long_polling", Shape.POLL, True)
    assert WEBSOCKET.capabilities == Capabilities()


@pytest.mark.parametrize(
    ("item", "text"),
    [
        (Outgoing.message(""), "m"),
        (Outgoing.message("mh\u00e9\u2028😀\0"), "mmh\u00e9\u2028😀\0"),
        (Outgoing.message(b""), "b"),
        (Outgoing.message(b"\0\x07\xff"), "bAAf/"),
        (Outgoing.dropped(12), "d12"),
        (Outgoing.close(3000, "one, two"), "c3000,one, two"),
        (Outgoing.close(1000, ""), "c1000,"),
        (Outgoing.close(1000, "two\nlines\0"), "c1000,two lines "),
        (Outgoing.close(1000, "é" * 100), "c1000," + "é" * 61),
    ],
    ids=repr,
)
def test_numbered_items(item: Outgoing, text: str) -> None:
    assert LONG.item(item) == json.dumps(text, ensure_ascii=False).encode()
    assert MESSAGES.item(item) == (item.data if item.kind == "b" else text)


def test_a_message_is_framed_once_for_all_carriers_of_a_kind() -> None:
    item = Outgoing.message("hello")
    assert WEBSOCKET.item(item) is WEBSOCKET.item(item)
    assert LONG.item(item) is PLAIN.item(item)  # both lay batches
    assert MESSAGES.item(item) == "mhello"
    assert WEBSOCKET.item(item) == b"\x81\x06mhello"
    assert len(item.encoded) == 3


def test_unnumbered_frames() -> None:
    assert MESSAGES.number(7) == "n7"
    assert MESSAGES.ack(7, 5) == "a7,5"
    assert MESSAGES.attached(7, 5) == "r7,5"
    assert MESSAGES.ping() == "p"
    assert MESSAGES.pong("x") == "qx"
    assert MESSAGES.end_of_carrier("superseded") == "esuperseded"
    assert MESSAGES.abrupt(4404, "session", None, "who, you?") == "x4404,session,,who, you?"
    assert MESSAGES.abrupt(1000, "session", 0, "") == "x1000,session,0,"
    assert MESSAGES.text("zfuture") == "zfuture"
    assert list(MESSAGES.wrap(["p", b"\0"])) == ["p", b"\0"]


@pytest.mark.parametrize(
    ("value", "text"), [(0, "g0"), (2**53 - 1, "g9007199254740991"), (2.5, "g2.5"), (1e-7, "g0.0")]
)
def test_delays_and_last_numbers_are_decimal(value: float, text: str) -> None:
    assert MESSAGES.go_away(value) == text


def test_the_frames_of_an_uplink_batch() -> None:
    batch = Uplink("s1", 3, 2, 7, [Outgoing.message("a"), Outgoing.message(b"b")], None, Key("K"))
    assert uplink_frames(MESSAGES, batch) == ["us1,3,2,7,K", "ma", b"b"]
    assert uplink_frames(LONG, batch) == [b'"us1,3,2,7,K"', b'"ma"', b'"bYg=="']
    assert uplink_frames(MESSAGES, batch._replace(items=[], going=6)) == ["us1,3,2,7,K", "g6"]


def test_an_attach() -> None:
    assert attach_frame(Attach("s1", 4, 3, 2, 7, Key("K"))) == "rs1,4,3,2,7,K"


# -- opens -----------------------------------------------------------------------------------------------------------


def test_an_open_says_auth_only_where_there_is_some() -> None:
    frame = open_frame(NONCE, 1, Window(16, 65_536), ["websocket"])
    assert json.loads(frame[1:]) == {"nonce": NONCE, "gen": 1, "window": [16, 65_536], "transports": ["websocket"]}
    frame = open_frame(NONCE, 1, Window(16, 65_536), [], {"token": "é"})
    assert parse_open(frame[1:]) == Open(NONCE, 1, Window(16, 65_536), (), '{"token":"é"}'.encode())


@pytest.mark.parametrize(("auth", "error"), [(object(), TypeError), ({1, 2}, TypeError), (float("nan"), ValueError)])
def test_auth_that_is_no_json(auth: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        open_frame(NONCE, 1, Window(1, 1), [], auth)


def test_an_open_nested_too_deeply() -> None:
    with pytest.raises(RemoteProtocolError, match="not JSON") as caught:
        parse_open('{"auth":' + "[" * 10_000)
    assert caught.value.close_code == 4400


@pytest.mark.parametrize(
    ("members", "auth"),
    [
        ('"auth":[1e400, "\\ud800", {} ]', '[1e400, "\\ud800", {} ]'),
        ('"auth" : 1 , "auth"\n:\t{"auth":[2]} ', '{"auth":[2]}'),
        ('"a":{"auth":1},"b":"auth","auth":"}"', '"}"'),
        ('"auth":1,"auth":null', None),
        ('"\\u0061uth":"\ud800é"', '"\ud800é"'),
    ],
)
def test_auth_is_kept_as_it_came(members: str, auth: str | None) -> None:
    head = f'{{"nonce":"{NONCE}","gen":1,"window":[1,1],'
    for text in (head + members + "}", f" {head} {members} }} "):
        assert parse_open(text).auth == (None if auth is None else auth.encode("utf-8", "surrogatepass"))


def test_how_much_an_open_may_say() -> None:
    members = {"nonce": NONCE, "gen": 1, "window": [1, 1]}
    assert parse_open(json.dumps(members | {"auth": "é" * 499}, ensure_ascii=False), 1000).auth is not None
    wrong: tuple[Any, ...] = ("é" * 500, "x" * 999, [{}] * 251)
    for auth in wrong:
        with pytest.raises(RemoteProtocolError, match="max_auth_size=1000") as caught:
            parse_open(json.dumps(members | {"auth": auth}, ensure_ascii=False), 1000)
        assert (caught.value.close_code, caught.value.http_status) == (4413, 413)
    parse_open(json.dumps(members | {"other": "x" * 32_000}), 1000)
    for name in ("other", "auth"):  # not parsed
        with pytest.raises(RemoteProtocolError, match="the open is above 32768 characters") as caught:
            parse_open(json.dumps(members | {name: [{}] * 20_000}) + "nonsense", 1000)
        assert caught.value.close_code == 4413


def test_how_much_fresh_auth_data_may_say() -> None:
    assert parse_renewal('t"' + "é" * 499 + '"', 1000) is not None
    for text in ('"' + "é" * 500 + '"', "[" * 1001):
        with pytest.raises(RemoteProtocolError, match="max_auth_size=1000") as caught:
            parse_renewal("t" + text, 1000)
        assert (caught.value.close_code, caught.value.http_status) == (1009, 413)
    machine, carrier, _ = serving()
    machine.config = replace(machine.config, max_auth_size=10)
    assert feed_server(machine, carrier, 't"12345678"', 0.0) == Renewal(b'"12345678"')
    with pytest.raises(RemoteProtocolError, match="max_auth_size=10 "):
        feed_server(machine, carrier, 't"123456789"', 0.0)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"nonce": "short"}, "nonce"),
        ({"gen": True}, "gen"),
        ({"gen": 2**53}, "gen"),
        ({"window": [1]}, "window"),
        ({"window": [1, 0]}, "window"),
        ({"transports": "websocket"}, "array of names"),
        ({"transports": ["\udfff"]}, "array of names"),
        ({"transports": ["t"] * 33}, "more than 32"),
    ],
)
def test_an_open_says_which_member_is_wrong(change: dict[str, Any], match: str) -> None:
    members = {"nonce": NONCE, "gen": 1, "window": [16, 65_536]}
    parse_open(json.dumps(members))
    with pytest.raises(RemoteProtocolError, match=match) as caught:
        parse_open(json.dumps(members | change))
    assert (caught.value.close_code, caught.value.http_status) == (4400, 400)


def test_an_open_that_is_no_object() -> None:
    with pytest.raises(RemoteProtocolError, match="not a JSON object"):
        parse_open("[]")


def opened_text(**changes: Any) -> str:
    """The JSON of a server's `o`."""
    machine = NumberedMachine(Config(), Window(16, 65_536), Diary(), 0.0, sid="s1", key="K")
    members = json.loads(opened_frame(machine, "websocket", [{"name": "websocket"}], 3, 2)[1:])
    return json.dumps(members | changes)


def test_what_a_server_says_of_itself_is_what_a_client_reads() -> None:
    config = Config()
    opened = Opened.parse(opened_text())
    assert opened == Opened(
        sid="s1",
        key=Key("K"),
        ack=(3, 2),
        window=config.window,
        max_size=config.max_size,
        max_batch=(config.max_batch, config.max_body),
        ping_interval=20,
        ping_timeout=20,
        resume_window=120,
        poll_interval=config.poll_interval,
        transports=({"name": "websocket"},),
    )
    assert Opened.parse(opened_text(ping_interval=None, ping_timeout=None)).ping_interval is None


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"sid": "a b"}, "proper sid"),
        ({"sid": None}, "proper sid"),
        ({"key": None}, "proper key"),
        ({"key": "a b"}, "proper key"),
        ({"ack": [0]}, "cannot be read"),
        ({"ack": ["0", 0]}, "wrong numbers"),
        ({"window": [16, 65_536, 1]}, "cannot be read"),
        ({"window": [0, 65_536]}, "wrong numbers"),
        ({"max_size": 0}, "wrong numbers"),
        ({"max_batch": [1.5, 1]}, "wrong numbers"),
        ({"ping_interval": 0}, "wrong times"),
        ({"ping_timeout": "20"}, "wrong times"),
        ({"resume_window": None}, "wrong times"),
        ({"resume_window": 10**400}, "wrong times"),
        ({"poll_interval": [0, 1]}, "poll_interval"),
        ({"poll_interval": [1, "2"]}, "poll_interval"),
        ({"poll_interval": [2, 1]}, "poll_interval"),
        ({"transports": ["websocket"]}, "no objects"),
        ({"transports": 5}, "cannot be read"),
        ({"transports": [{}] * 20_000}, "above 32768 characters"),
        ({"more": "x" * 32_768}, "above 32768 characters"),
    ],
)
def test_what_no_server_would_say(change: dict[str, Any], match: str) -> None:
    with pytest.raises(RemoteProtocolError, match=match) as caught:
        Opened.parse(opened_text(**change))
    assert caught.value.close_code == 1002


def test_an_endless_time_is_not_json() -> None:
    with pytest.raises(RemoteProtocolError, match="cannot be read"):
        Opened.parse(opened_text().replace('"resume_window": 120.0', '"resume_window": Infinity'))


# -- heads -----------------------------------------------------------------------------------------------------------


def test_heads() -> None:
    assert parse_head("rs1,4,3,2,7,K") == RequestHead("s1", 4, 3, 2, 7, Key("K"))
    assert parse_head("us1,3,2,7,K,more") == RequestHead("s1", 0, 3, 2, 7, Key("K"))
    assert parse_head("us1,3,2,7") == RequestHead("s1", 0, 3, 2, 7, Key(""))
    assert parse_head(open_frame(NONCE, 1, Window(1, 2), [])) == Open(NONCE, 1, Window(1, 2), (), None)


@pytest.mark.parametrize(
    ("frame", "match"),
    [
        (b"rs1,4,3,2,7", "first frame must be"),
        ("", "first frame must be"),
        ("mhello", "first frame must be"),
        ("rs1,4,3,2", "attach is r<sid>"),
        ("us1,4,3", "starts with u<sid>"),
        ("r,4,3,2,7", "attach is"),
        ("rs1,4,3,2,x", "a field of the head is not a number, or is missing"),
        ("rs1,0,0,0,1", "count from 1"),
        ("us1,0,0,0", "count from 1"),
    ],
)
def test_no_heads(frame: str | bytes, match: str) -> None:
    with pytest.raises(RemoteProtocolError, match=match) as caught:
        parse_head(frame)
    assert caught.value.close_code == 4400


def test_an_error_quotes_only_the_beginning_of_what_it_could_not_read() -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        parse_head("us1,0,0," + "x" * 10_000)
    assert len(caught.value.reason) < 100


# -- refusals --------------------------------------------------------------------------------------------------------


def test_refusals_there_and_back() -> None:
    refusal = parse_refusal(refusal_frame(Refusal(4429, "later,\nplease", received=3)))
    assert (refusal.code, refusal.reason, refusal.scope, refusal.received) == (4429, "later, please", "carrier", 3)
    assert parse_refusal("x4404,session,,").received is None


@pytest.mark.parametrize("frame", ["y1000,session,0,", "x1000,session,0", "x1000,globe,0,", "x1,session,0,", "x,,,"])
def test_no_refusals(frame: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        parse_refusal(frame)
    assert caught.value.close_code == 1002


# -- frames to a server ----------------------------------------------------------------------------------------------


def serving(*messages: str) -> tuple[NumberedMachine, NumberedCarrier, FakeLink]:
    """A server's session, opened on a WebSocket, that has sent these messages; what was written is forgotten."""
    machine = NumberedMachine(SMALL, WIDE, Diary(), 0.0, sid="s1", nonce=NONCE)
    link = FakeLink()
    carrier = NumberedCarrier(MESSAGES, link, 0.0)
    carrier.greeting = lambda received, taken: "o{}"
    machine.open(carrier, 1, 0.0)
    for message in messages:
        machine.send(Outgoing.message(message))
    machine.flush(0.0)
    link.writes.clear()
    return machine, carrier, link


def test_messages_to_a_server() -> None:
    machine, carrier, _ = serving()
    frames: tuple[str | bytes, ...] = ("mh\u00e9😀", "bAAf/", b"\xff", "d3", "m")
    for frame in frames:
        feed_server(machine, carrier, frame, 5.0)
    assert machine.inbox.size == 7 + 3 + 1
    assert [machine.take(5.0) for _ in range(5)] == ["h\u00e9😀", b"\0\x07\xff", b"\xff", Dropped(3), ""]


def test_any_frame_is_a_sign_of_life() -> None:
    machine, carrier, _ = serving()
    frames: tuple[str | bytes, ...] = ("q", "zunknown", "a0,0", b"", "p")
    for number, frame in enumerate(frames, 1):
        carrier.pinged = True
        feed_server(machine, carrier, frame, float(number))
        assert (carrier.last_received, machine.contact, carrier.pinged) == (number, number, False)


def test_an_answered_ping_brings_the_next_one_forward() -> None:
    """Not only at the end of the silence that the first ping had begun."""
    machine, carrier, _ = serving()
    carrier.pinged = True
    feed_server(machine, carrier, "q", 1.0)
    assert isinstance(machine.listener, Diary)
    assert machine.listener.woken[-1] == machine.deadline()
    peer, theirs, _ = connecting()
    theirs.pinged = True
    feed_client(peer, theirs, "q", 1.0)
    assert isinstance(peer.listener, Diary)
    assert peer.listener.woken[-1] == peer.deadline()


def test_unknown_unnumbered_frames_move_no_cursor() -> None:
    machine, carrier, _ = serving()
    for frame in ("zx", "Mx", "\0", "😀", "eidle", "qx"):
        feed_server(machine, carrier, frame, 0.0)
    assert (carrier.receive_cursor, machine.inbox.received, machine.outcome) == (1, 0, None)


def test_only_an_ack_behind_the_o_uses_the_sid() -> None:
    machine, carrier, _ = serving()
    others: tuple[str | bytes, ...] = ("mhello", b"a0,0", "p", "zx")
    for frame in others:
        feed_server(machine, carrier, frame, 0.0)
        assert not machine.used
    feed_server(machine, carrier, "a0,0", 0.0)
    assert machine.used
    feed_server(machine, carrier, "a0,0", 0.0)
    feed_server(machine, carrier, "mhello", 0.0)


def test_acks_pings_and_renumbering() -> None:
    machine, carrier, link = serving("a", "b")
    feed_server(machine, carrier, "a2,1,future", 0.0)
    assert (machine.outbox.acked, machine.outbox.taken) == (2, 1)
    feed_server(machine, carrier, "p" + "é" * 65, 0.0)
    assert link.said == ["q" + "é" * 64]
    feed_server(machine, carrier, "n1,future", 0.0)
    feed_server(machine, carrier, "mone", 0.0)
    assert machine.inbox.received == 1
    feed_server(machine, carrier, "n3", 0.0)
    with pytest.raises(RemoteProtocolError, match="gap"):
        feed_server(machine, carrier, "mthree", 0.0)


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("a1,0", 1002),  # nothing was sent
        ("a0,1", 1002),
        ("a0", 1002),
        ("m\ud83d", 1007),
        ("p\ud83d", 1007),
        ("bQQ", 1007),
        ("b\u00e9", 1007),
        ("n01", 1002),
        ("n9007199254740992", 1002),  # 2**53
        ("n" + "9" * 5000, 1002),
        ("n\u0661", 1002),
        ("d-1", 1002),
        ("c999,", 1002),
        ("c1006,", 1002),
        ("gsoon", 1002),
        ("x1000", 1002),
        ("", 1002),
        ("o{}", 1002),
        ("rs1,2,0,0,1", 1002),
        ("us1,0,0,1", 1002),
        ("m" + "x" * (SMALL.max_size + 1), 1009),
        ("m" + "é" * (SMALL.max_size // 2 + 1), 1009),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_what_ends_a_session(frame: str, code: int) -> None:
    machine, carrier, _ = serving()
    with pytest.raises(RemoteProtocolError) as caught:
        feed_server(machine, carrier, frame, 0.0)
    assert caught.value.close_code == code


def test_exceeding_the_window_ends_a_session() -> None:
    machine, carrier, _ = serving()
    for _ in range(16):
        feed_server(machine, carrier, "m", 0.0)
    feed_server(machine, carrier, "a0,0", 0.0)  # a receiver never stops reading
    with pytest.raises(RemoteProtocolError, match="window"):
        feed_server(machine, carrier, "m", 0.0)


def test_a_clean_close_is_answered_on_the_spot() -> None:
    machine, carrier, link = serving()
    feed_server(machine, carrier, "mlast", 0.0)
    feed_server(machine, carrier, "c3000,one, two", 0.0)
    assert machine.outcome == (3000, "one, two", True)
    assert link.said == ["a2,0", "x3000,session,2,one, two"]


def test_an_abrupt_end_by_the_client() -> None:
    machine, carrier, _ = serving("a")
    feed_server(machine, carrier, "x1002,session,0,a gap", 0.0)
    assert machine.outcome == (1002, "a gap", False)
    assert machine.outbox.unacknowledged() == ["a"]


@pytest.mark.parametrize("code", [4411, 3000, 1002, 1003, 1007, 1009, 1011])
def test_codes_a_client_ends_with(code: int) -> None:
    machine, carrier, _ = serving()
    feed_server(machine, carrier, f"x{code},session,,", 0.0)
    assert machine.outcome == (code, "", False)


@pytest.mark.parametrize("code", [1004, 1005, 1006, 1010, 1015, 2999])
def test_codes_a_client_does_not_end_with(code: int) -> None:
    machine, carrier, _ = serving()
    with pytest.raises(RemoteProtocolError, match=f"does not end with {code}"):
        feed_server(machine, carrier, f"x{code},session,,", 0.0)


def test_a_drain_is_answered_by_the_last_number() -> None:
    machine, carrier, _ = serving()
    machine.drain(5.0)
    feed_server(machine, carrier, "g1", 0.0)
    assert not machine.drained
    feed_server(machine, carrier, "mlast", 0.0)
    machine.take(0.0)
    assert machine.drained


# -- frames to a client ----------------------------------------------------------------------------------------------


def connecting() -> tuple[ClientMachine, NumberedCarrier, FakeLink]:
    """A client's session whose open is out."""
    machine = ClientMachine(SMALL, Diary(), 0.0)
    link = FakeLink()
    carrier = NumberedCarrier(MESSAGES, link, 0.0)
    machine.start(carrier, 0.0)
    return machine, carrier, link


def test_of_tickets_no_more_are_kept_than_a_server_hands_out() -> None:
    machine, carrier, _ = connecting()
    feed_client(machine, carrier, "k7" + ",T" * 100_000, 1.0)
    assert machine.tickets == (7, tuple("T" * 16))
    feed_client(machine, carrier, "k8,A,B", 1.0)
    assert machine.tickets == (8, tuple("AB"))


def test_opening_and_one_message_each_way() -> None:
    machine, carrier, link = connecting()
    feed_client(machine, carrier, "o" + opened_text(ack=[0, 0]), 1.0)
    machine.send(Outgoing.message("hello"))
    machine.flush(1.0)
    assert link.said == ["mhello", "a0,0"]
    feed_client(machine, carrier, "a1,1", 2.0)
    feed_client(machine, carrier, "mhello back", 2.0)
    assert machine.take(2.0) == "hello back"
    assert (machine.sid, machine.state, machine.outbox.taken, machine.contact) == ("s1", State.OPEN, 1, 2.0)


def test_nothing_counts_on_a_carrier_whose_o_names_another_session() -> None:
    machine, carrier, _ = connecting()
    other = NumberedCarrier(MESSAGES, FakeLink(), 0.0)
    machine.start(other, 0.0)
    feed_client(machine, other, "o" + opened_text(ack=[0, 0]), 1.0)
    for frame in ("o" + opened_text(sid="s2"), "mnot ours", "a9,9", "c1000,", "g5", ""):
        feed_client(machine, carrier, frame, 2.0)
    assert (machine.sid, machine.inbox.received, machine.state) == ("s1", 0, State.OPEN)
    assert machine.carrier is other


def test_a_client_attaches_and_drains() -> None:
    machine, carrier, _ = connecting()
    feed_client(machine, carrier, "o" + opened_text(ack=[0, 0]), 0.0)
    following = NumberedCarrier(MESSAGES, FakeLink(), 0.0)
    machine.start(following, 0.0)
    feed_client(machine, following, "r0,0,future", 0.0)
    assert following.attached
    feed_client(machine, following, "g30", 0.0)
    assert machine.state is State.DRAINING


def test_what_means_nothing_to_a_client_is_ignored() -> None:
    machine, carrier, _ = connecting()
    for frame in ("zx", "us1,0,0,1", "esuperseded", "Mx", "q"):
        feed_client(machine, carrier, frame, 1.0)
    assert (machine.outcome, machine.state, carrier.last_received) == (None, State.CONNECTING, 1.0)


@pytest.mark.parametrize(("frame", "code"), [("r1,0", 1002), ("r", 1002), ("o{}", 1002), ("a1,1", 1002), ("b=", 1007)])
def test_what_ends_a_session_at_the_client(frame: str, code: int) -> None:
    machine, carrier, _ = connecting()
    with pytest.raises(RemoteProtocolError) as caught:
        feed_client(machine, carrier, frame, 0.0)
    assert caught.value.close_code == code


def test_the_servers_close() -> None:
    machine, carrier, link = connecting()
    feed_client(machine, carrier, "o" + opened_text(ack=[0, 0]), 0.0)
    feed_client(machine, carrier, "c1012,restart", 0.0)
    assert machine.outcome == (1012, "restart", True)
    assert link.said == ["a1,0"]


def test_what_follows_the_o_of_another_session_is_not_ours() -> None:
    machine, carrier, _ = connecting()
    feed_client(machine, carrier, "o" + opened_text(ack=[0, 0]), 0.0)
    late = NumberedCarrier(MESSAGES, FakeLink(), 0.0)
    machine.start(late, 0.0)
    feed_client(machine, late, "o" + opened_text(ack=[0, 0], sid="s2"), 0.0)
    feed_client(machine, late, "mnot for us", 0.0)
    assert (machine.sid, machine.inbox.received) == ("s1", 0)


@pytest.mark.parametrize("frame", ["x1000,session,,", "x4000,session,1,", "x1009,session,,too large"])
def test_codes_a_client_may_end_with(frame: str) -> None:
    machine, carrier, _ = serving("a")
    feed_server(machine, carrier, frame, 0.0)
    assert machine.outcome is not None
    assert machine.outcome.code == int(frame[1:5])


@pytest.mark.parametrize("frame", ["x1005,session,,", "x1011x,session,,", "x2999,session,,", "c1002,", "c1006,"])
def test_codes_a_client_may_not_end_with(frame: str) -> None:
    machine, carrier, _ = serving("a")
    with pytest.raises(RemoteProtocolError) as caught:
        feed_server(machine, carrier, frame, 0.0)
    assert caught.value.close_code == 1002


# -- fresh auth data -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("auth", [None, True, 0, "a token", {"token": "größe"}, [1, None]])
def test_fresh_auth_data(auth: Any) -> None:
    frame = renewal_frame(auth)
    renewal = parse_renewal(frame)
    assert renewal is not None
    assert renewal == Renewal(frame[1:].encode())
    assert json.loads(renewal.auth) == auth
    machine, carrier, _ = serving()
    assert feed_server(machine, carrier, frame, 3.0) == renewal
    assert (machine.contact, machine.inbox.received) == (3.0, 0)


def test_what_is_no_fresh_auth_data() -> None:
    for frame in ("mt1", b"t1", "", "a0,0"):
        assert parse_renewal(frame) is None
    for text in ("", "{", "NaN", "[" * 10_000):
        with pytest.raises(RemoteProtocolError, match="t<JSON>") as caught:
            parse_renewal("t" + text)
        assert caught.value.close_code == 1002
    for wrong in ({1}, float("nan")):
        with pytest.raises((TypeError, ValueError)):
            renewal_frame(wrong)


def test_an_open_tells_what_failed_and_what_it_took() -> None:
    frame = open_frame(
        NONCE, 1, Window(16, 65_536), ["websocket"], None, {"websocket": ("refused", 4.04)}, {"polling": 0.01234567}
    )
    members = json.loads(frame[1:])
    assert (members["failed"], members["tried"]) == ({"websocket": ["refused", 4.0]}, {"polling": 0.0123})
    opened = parse_open(frame[1:])
    assert (opened.failed, opened.tried) == ({"websocket": ("refused", 4.0)}, {"polling": 0.0123})


@pytest.mark.parametrize(
    "change",
    [
        {"failed": []},
        {"failed": {str(n): ["how", 1] for n in range(33)}},
        {"failed": {"web socket": ["how", 1]}},
        {"failed": {"websocket": "refused"}},
        {"failed": {"websocket": ["refused"]}},
        {"failed": {"websocket": [1, 1]}},
        {"failed": {"websocket": ["refused", -1]}},
        {"failed": {"websocket": ["refused", True]}},
        {"failed": {"websocket": ["\ud800", 1]}},
        {"tried": 5},
        {"tried": {"websocket": "1"}},
        {"tried": {"": 1}},
        {"tried": {"websocket": 1e12}},
    ],
)
def test_a_history_that_cannot_be(change: dict[str, Any]) -> None:
    members = {"nonce": NONCE, "gen": 1, "window": [16, 65_536], **change}
    with pytest.raises(RemoteProtocolError) as caught:
        parse_open(json.dumps(members))
    assert caught.value.close_code == 4400


# -- keys and tickets ------------------------------------------------------------------------------------------------


def tickets(use: str, first: int, count: int) -> str:
    """A frame of so many tickets of the key "K"."""
    return ",".join([f"{use}{first}", *(ticket("K", use, number) for number in range(first, first + count))])


def test_tickets_are_handed_out() -> None:
    machine, _, _ = serving()
    machine.key = Key("K")
    assert ticket_frame(machine, 2, 3) == tickets("k", 2, 3)
    assert machine.tickets.handed == 4
    assert ticket_frame(machine, 1, 2) == tickets("k", 1, 2)
    assert machine.tickets.handed == 4


def test_the_answer_to_a_send_has_the_tickets_it_asks_for() -> None:
    machine, _, _ = serving()
    machine.key = Key("K")
    machine.gen = machine.tickets.handed = 5
    assert ticket_frames(machine, ["mtext", b"bytes"]) == []
    attaches, sends = ticket_frames(machine, ["s7", "mtext", "k9"])
    assert attaches.startswith(tickets("k", 9, 1))
    assert sends.startswith(tickets("s", 7, 1))
    assert ticket_frames(machine, [f"s{2**53 - 1}"])[0].startswith(f"s{2**53 - 1},")


def test_who_has_used_the_last_ticket_gets_more() -> None:
    machine, _, _ = serving()
    machine.key = Key("K")
    machine.gen = machine.tickets.handed = 5
    assert machine.prove(Proof(Key(ticket("K", "k", 5)), "k", 5))
    (more,) = ticket_frames(machine, ["mtext"])
    assert more.startswith(tickets("k", 6, 1))


def test_asking_for_tickets_is_a_frame_with_a_number() -> None:
    machine, carrier, _ = serving()
    for frame in ("k3", "s1"):
        assert feed_server(machine, carrier, frame, 1.0) is None
    with pytest.raises(RemoteProtocolError, match="k is not a number"):
        feed_server(machine, carrier, "k", 1.0)


def test_a_client_keeps_the_tickets_it_is_given() -> None:
    machine = ClientMachine(Config(), Diary(), 0.0)
    carrier = NumberedCarrier(MESSAGES, FakeLink(), 0.0)
    machine.start(carrier, 0.0)
    feed_client(machine, carrier, "k2,one,two", 1.0)
    assert machine.tickets == (2, ("one", "two"))
    assert machine.ticket() == "one"


def test_no_repr_shows_a_secret() -> None:
    head = parse_head("rs1,2,0,0,1,secret")
    opening = parse_open(json.dumps({"nonce": NONCE, "gen": 1, "window": [1, 1], "auth": "password"}))
    opened = Opened.parse(opened_text())
    for said in (head, opening, opened):
        for secret in ("s1", "secret", NONCE, "password", "'K'"):
            assert secret not in repr(said)
    assert "gen=2" in repr(head)
