"""Opens of both ends: what may stand in them, and what each error says."""

from __future__ import annotations

import contextlib
import json
from typing import Any
from urllib.parse import quote, quote_plus, unquote_plus

import pytest

from realtime.core.config import LONGEST, MOST, Config
from realtime.core.errors import RemoteProtocolError
from realtime.core.frames import Window
from realtime.core.negotiation import Choice
from realtime.core.numbered_machine import NumberedMachine
from realtime.core.proof import Key
from realtime.protocols.native import (
    Open,
    Opened,
    open_frame,
    opened_frame,
    opens,
    parse_open,
    parse_open_in_url,
    verdicts,
)

from ...core.fakes import Diary
from .ends import NONCE, opened_text


def test_an_open_says_auth_only_where_there_is_some() -> None:
    frame = open_frame(NONCE, 1, Window(16, 65_536), ["websocket"])
    assert json.loads(frame[1:]) == {"nonce": NONCE, "gen": 1, "window": [16, 65_536], "transports": ["websocket"]}
    frame = open_frame(NONCE, 1, Window(16, 65_536), [], {"token": "é"})
    assert parse_open(frame[1:]) == Open(NONCE, 1, Window(16, 65_536), (), '{"token":"é"}'.encode())


def test_an_open_says_whether_its_client_keeps_the_rules_of_durable_sessions() -> None:
    assert "durable" not in json.loads(open_frame(NONCE, 1, Window(16, 65_536), [])[1:])
    frame = open_frame(NONCE, 1, Window(16, 65_536), [], rooms={}, durable=True)
    assert json.loads(frame[1:])["durable"] is True


def test_an_open_says_rooms_where_its_client_takes_their_messages() -> None:
    rooms: dict[str, str]
    for rooms in ({}, {"chat": "1.2.x", "é": "0"}):
        frame = open_frame(NONCE, 1, Window(16, 65_536), [], rooms=rooms)
        assert json.loads(frame[1:])["rooms"] == rooms
        assert parse_open(frame[1:]).rooms == rooms
    assert parse_open(open_frame(NONCE, 1, Window(16, 65_536), [])[1:]).rooms is None


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


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"nonce": "short"}, "nonce"),
        ({"gen": True}, "gen"),
        ({"gen": 2**53}, "gen"),
        ({"window": [1]}, "window"),
        ({"window": [1, 0]}, "window"),
        ({"window": [True, 65_536]}, "window"),  # which equals what was read before
        ({"window": [16.0, 65_536]}, "window"),
        ({"window": [{}, 1]}, "window"),
        ({"transports": "websocket"}, "array of names"),
        ({"transports": ["\udfff"]}, "array of names"),
        ({"transports": ["websocket", []]}, "array of names"),
        ({"transports": [1]}, "array of names"),
        ({"transports": ["t"] * 33}, "more than 32"),
    ],
)
def test_an_open_says_which_member_is_wrong(change: dict[str, Any], match: str) -> None:
    members = {"nonce": NONCE, "gen": 1, "window": [16, 65_536]}
    for window in ([16, 65_536], [1, 65_536]):
        parse_open(json.dumps(members | {"window": window}))
    with pytest.raises(RemoteProtocolError, match=match) as caught:
        parse_open(json.dumps(members | change))
    assert (caught.value.close_code, caught.value.http_status) == (4400, 400)


def test_an_open_that_is_no_object() -> None:
    with pytest.raises(RemoteProtocolError, match="not a JSON object"):
        parse_open("[]")


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
    largest = Config(
        max_size=MOST,
        max_queue=MOST,
        max_queue_size=MOST,
        max_batch=MOST,
        max_batch_size=MOST,
        max_auth_size=MOST,
        ping_interval=LONGEST,
        ping_timeout=LONGEST,
        resume_window=LONGEST,
    )
    machine = NumberedMachine(largest, Window(1, 1), Diary(), 0.0, sid="s1", key="K")
    opened = Opened.parse(opened_frame(machine, "sse", "[]", 0, 0)[1:])
    assert (opened.max_size, opened.max_batch[1], opened.resume_window) == (MOST, largest.max_body, LONGEST)
    assert Opened.parse(opened_text(tenure="t1")).tenure == "t1"
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
        ({"tenure": "t 1"}, "proper tenure"),
        ({"tenure": None}, "proper tenure"),
        ({"tenure": 1}, "proper tenure"),
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


def test_no_repr_shows_a_secret() -> None:
    opening = parse_open(json.dumps({"nonce": NONCE, "gen": 1, "window": [1, 1], "auth": "password"}))
    opened = Opened.parse(opened_text())
    for said in (opening, opened):
        for secret in ("s1", NONCE, "password", "'K'"):
            assert secret not in repr(said)


def test_the_verdicts_in_the_servers_answer() -> None:
    choices = (Choice("websocket", "taken", "taken", timing=0.25), Choice("sse", "refused", "not_named"))
    assert json.loads(verdicts(choices)) == [choice.as_dict() for choice in choices]
    assert verdicts(choices) is verdicts(tuple(choices))


def test_settings_are_announced_as_they_were_set() -> None:
    """What is the same for all sessions of an endpoint is made once: 7 and 7.0 are two endpoints all the same."""
    said = []
    for interval in (7, 7.0):
        config = Config(ping_interval=interval, resume_window=123.5, max_size=77)
        machine = NumberedMachine(config, Window(1, 1), Diary(), 0.0, sid="s1", key="K")
        said.append(opened_frame(machine, "sse", "[]", 0, 0))
    for frame, written in zip(said, ("7", "7.0"), strict=True):
        assert f'"ping_interval":{written},' in frame
        opened = Opened.parse(frame[1:])
        assert (opened.resume_window, opened.max_size, opened.ping_interval) == (123.5, 77, 7)


def test_opens_that_differ_in_their_nonce_alone_say_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"gen": 2, "window": [7, 77], "transports": ["sse"], "rooms": {}, "durable": True}
    for members in ({"nonce": NONCE} | said, said | {"nonce": NONCE}):
        first = parse_open(json.dumps(members))
        with monkeypatch.context() as patch:
            patch.setattr(opens, "parse_one", None)  # nothing is parsed again
            second = parse_open(json.dumps(members | {"nonce": "n" * 64}))
        assert first == Open(NONCE, 2, Window(7, 77), ("sse",), None, rooms={}, durable=True)
        assert second == first._replace(nonce="n" * 64)


@pytest.mark.parametrize(
    "text",
    [
        '{"nonce":"%s","gen":1,"window":[1,1],"auth":"password"}',
        '{"nonce":"%s","gen":1,"window":[1,1],"rooms":{"a":"b"}}',
        '{"nonce":"%s","gen":1,"window":[1,1],"tried":{"sse":1}}',
        '{"nonce":"%s","gen":1,"window":[1,1],"failed":{"sse":["cut",1]}}',
        '{"x":{"nonce":"%s"},"nonce":"%s","gen":1,"window":[1,1]}',
        r'{"x\"nonce":"%s","nonce":"%s","gen":1,"window":[1,1]}',
        r'{"nonce":"%s","gen":1,"window":[1,1],"x":"\u006eonce"}',
        '{"nonce":"%s","gen":1,"window":[1,1],"x":"' + "x" * 512 + '"}',
    ],
)
def test_opens_that_may_differ_in_more_are_each_parsed(text: str) -> None:
    before = dict(opens._kinds)
    for nonce in (NONCE, "n" * 64):
        assert parse_open(text.replace("%s", nonce)).nonce == nonce
        assert opens._kinds == before


def test_opens_in_urls_that_differ_in_their_nonce_alone_are_decoded_once() -> None:
    decoded = []

    def parsed(url: str) -> Open | None:
        def decode() -> str:
            decoded.append(url)
            return unquote_plus(url.partition("=")[2])

        return parse_open_in_url(url, decode, 16)

    said = {"nonce": "%s", "gen": 3, "window": [7, 77]}
    for usual in (quote(json.dumps(said, separators=(",", ":"))), quote_plus(json.dumps(said))):
        url = "/x/v1/websocket?open=" + usual.replace("%25s", "%s")
        for nonce in (NONCE, "n" * 64):
            assert parsed(url.replace("%s", nonce)) == Open(nonce, 3, Window(7, 77), (), None)
        assert decoded == [url.replace("%s", NONCE)]
        decoded.clear()
        for other in (
            url.replace("gen", "x%5C"),  # escapes, or what else might say it otherwise
            url + "&x=%22nonce%22%3A%22" + "x" * 22 + "%22",
            url + "#x",
            url.replace("%7D", ",%22x%22:%22" + "x" * 1024 + "%22%7D"),
        ):
            for nonce in (NONCE, "n" * 64):
                with contextlib.suppress(RemoteProtocolError):
                    parsed(other.replace("%s", nonce))
            assert len(decoded) == 2
            decoded.clear()
    assert parse_open_in_url("/x", lambda: None, 16) is None


def test_what_is_kept_of_opens_and_verdicts_is_bounded() -> None:
    for number in range(1, 2 * opens.MOST_KINDS):
        parse_open(json.dumps({"nonce": NONCE, "gen": number, "window": [1, 1]}))
        verdicts((Choice("websocket", "taken", "taken", timing=float(number)),))
        assert len(opens._kinds) <= opens.MOST_KINDS >= len(opens._worded)


@pytest.mark.parametrize("space", ["", " ", "\n\t", "\r\n  "])
def test_white_space_around_an_open_says_nothing_and_anything_else_is_no_json(space: str) -> None:
    text = json.dumps({"nonce": NONCE, "gen": 1, "window": [1, 1]})
    for around in (f"{space}{text}", f"{text}{space}", f"{space}{text}{space}"):
        assert parse_open(around) == Open(NONCE, 1, Window(1, 1), (), None)
    for wrong in (f"{text}{space}x", f"x{space}{text}", f"{text}{space}{text}", f"\v{text}"):
        with pytest.raises(RemoteProtocolError, match="the open is not JSON") as caught:
            parse_open(wrong)
        assert caught.value.close_code == 4400
