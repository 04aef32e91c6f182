"""docs/configuration.md against the code: the same settings, in the same order, with the same defaults."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
from pathlib import Path

import pytest

import realtime
from realtime.server import SERVER_SETTINGS

PAGE = (Path(__file__).parents[1] / "docs" / "configuration.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(\w+)` \| `(.+?)` \|([^|]*)\|([^|]+)\|([^|]*)\|$", re.MULTILINE)


def rows(text: str) -> dict[str, object]:
    """The settings in a piece of the page, with their defaults."""
    found = ROW.findall(text)
    table_lines = [line for line in text.splitlines() if line.startswith("| `")]
    assert len(found) == len(table_lines), "a row of a table that is not like the others"
    return {name: ast.literal_eval(default) for name, default, *_ in found}


def section(name: str) -> str:
    """What follows a marker, up to the next one."""
    return PAGE.partition(f"<!-- {name} -->")[2].partition("<!--")[0]


def keywords(function: object) -> dict[str, object]:
    """The named keyword-only parameters of a function, with their defaults."""
    parameters = inspect.signature(function).parameters.values()  # type: ignore[arg-type]
    return {parameter.name: parameter.default for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}


def test_the_settings_of_endpoints() -> None:
    fields = {field.name: field.default for field in dataclasses.fields(realtime.Config)}
    documented = rows(section("Config"))
    assert documented == fields
    assert list(documented) == list(fields)


def test_the_options_for_engineio() -> None:
    fields = {field.name: field.default for field in dataclasses.fields(realtime.EngineIO)}
    documented = rows(section("EngineIO"))
    assert documented == fields
    assert list(documented) == list(fields)


def test_the_settings_of_the_whole_server_have_a_table_of_their_own() -> None:
    _, _, whole = section("Config").partition("only `realtime.Server(...)` takes them")
    assert set(rows(whole)) == SERVER_SETTINGS


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("Server", realtime.Server),
        ("connect", realtime.connect),
        ("Events", realtime.Events),
        ("Cluster", realtime.Cluster),
        ("RedisBroker", realtime.RedisBroker),
        ("STOMP", realtime.STOMP),
    ],
)
def test_keyword_arguments(name: str, function: object) -> None:
    documented = rows(section(name))
    assert documented == keywords(function)
    assert list(documented) == list(keywords(function))


def test_the_options_of_sockjs() -> None:
    fields = {field.name: field.default for field in dataclasses.fields(realtime.SockJS)}
    assert rows(section("SockJS")) == fields


def test_the_options_of_webtransport() -> None:
    fields = {field.name: field.default for field in dataclasses.fields(realtime.WebTransport)}
    documented = rows(section("WebTransport").partition("\n## ")[0])
    given = ["port", "certificate", "key"]  # they have no default
    assert [name for name in documented if documented[name] is ...] == given
    assert {**documented, **dict.fromkeys(given, dataclasses.MISSING)} == fields
    assert list(documented) == list(fields)


def test_the_options_of_socketio() -> None:
    fields = {field.name: field.default for field in dataclasses.fields(realtime.SocketIO)}
    documented = rows(section("SocketIO"))
    assert documented == fields
    assert list(documented) == list(fields)


def test_drain() -> None:
    arguments = ", ".join(f"{name}={default}" for name, default in keywords(realtime.Server.drain).items())
    assert f"`rt.drain({arguments})`" in PAGE


def test_wrong_settings_raise_what_the_page_says() -> None:
    with pytest.raises(TypeError, match="ping_intervall"):
        realtime.Server(ping_intervall=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="ping_intervall"):
        realtime.connect("http://localhost/", ping_intervall=1)  # type: ignore[call-arg]
    with pytest.raises(realtime.LocalProtocolError, match="ping_interval"):
        realtime.Server(ping_interval=0)


def test_a_confirmation_that_hangs_is_repeated_before_its_session_counts_as_unused() -> None:
    """docs/protocol.md §5: what both clients wait for by default, and a pause behind that."""
    script = (Path(__file__).parents[1] / "client-js" / "src" / "realtime.js").read_text(encoding="utf-8")
    (waits,) = re.findall(r"^ +postTimeout: (\d+),$", script, re.MULTILINE)
    longest = max(int(waits) / 1000, float(str(keywords(realtime.connect.__init__)["post_timeout"])))
    assert realtime.Config().open_timeout >= 1.5 * longest
