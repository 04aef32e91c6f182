"""What docs/javascript.md says of names, defaults and codes is compared with the client's types and source."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from realtime.transports import TRANSPORTS

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "javascript.md").read_text("utf-8")
TYPES = (ROOT / "client-js" / "types" / "realtime.d.ts").read_text("utf-8")
SOURCE = {path.name: path.read_text("utf-8") for path in (ROOT / "client-js" / "src").glob("*.js")}


def rows(mark: str) -> list[list[str]]:
    """The cells of the table behind a mark."""
    table = PAGE.partition(f"<!-- {mark} -->\n\n")[2].partition("\n\n")[0]
    assert table, mark
    return [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in table.splitlines()[2:]]


def names(cell: str) -> list[str]:
    """The names in a cell, without their arguments."""
    return re.findall(r"`(\w+)[^`]*`", cell)


def body(kind: str, name: str) -> str:
    """What stands in the braces of an interface or class."""
    found = re.search(
        rf"^export (?:declare )?{kind} {name}(?: extends [\w.]+)? {{\n(.*?)^}}", TYPES, re.MULTILINE | re.DOTALL
    )
    assert found is not None, name
    return re.sub(r"/\*\*.*?\*/", "", found[1], flags=re.DOTALL)


def members(kind: str, name: str) -> set[str]:
    """The members of an interface or class, without those of their parts."""
    return set(re.findall(r"^  (?:readonly |get )?(\w+)\??[:<(]", body(kind, name), re.MULTILINE))


def test_options() -> None:
    assert {names(row[0])[0] for row in rows("options")} == members("interface", "Options")


@pytest.mark.parametrize(
    "option", ["maxBuffered", "raceDelay", "attachTimeout", "postTimeout", "upgrade", "reopen", "credentials"]
)
def test_defaults(option: str) -> None:
    (found,) = re.findall(rf"^ +{option}: (\w+),$", SOURCE["realtime.js"], re.MULTILINE)
    assert {names(row[0])[0]: row[1] for row in rows("options")}[option] == f"`{found}`"


def test_events() -> None:
    events = {names(row[0])[0]: set(names(row[1])) for row in rows("events")}
    assert set(events) == members("interface", "EventMap")
    for name, fields in events.items():
        assert fields == members("interface", f"{name.capitalize()}Event") - {"type", "target"}, name


def test_members() -> None:
    listed = [name for mark in ("WebSocket", "more") for row in rows(mark) for name in names(row[0])]
    assert len(listed) == len(set(listed))
    constants = {"CONNECTING", "OPEN", "CLOSING", "CLOSED"}
    assert set(listed) == members("class", "Realtime") - constants - {"constructor"}


def test_states() -> None:
    (states,) = re.findall(r"^export type State = (.*);$", TYPES, re.MULTILINE)
    described = dict(zip([names(row[0])[0] for row in rows("more")], rows("more"), strict=True))
    assert re.findall(r'"(\w+)"', states) == names(described["state"][1])


def test_codes_are_those_of_the_protocol() -> None:
    protocol = (ROOT / "docs" / "protocol.md").read_text("utf-8")
    refusals = protocol.partition("\n## 9.")[2].partition("\n## 10.")[0]
    told = set(re.findall(r"^\| (\d{4}) ", refusals, re.MULTILINE)) | {"1001"}
    asked = {"4401", "4408"}  # of a session these are ends
    passing = set(re.findall(r"code === (\d{4})", SOURCE["supervision.js"])) - asked
    assert passing == {"4429", "4503"}
    assert {row[0][:4] for row in rows("closes")} == told - passing | {"1000"}


def test_what_is_reopened() -> None:
    (expression,) = re.findall(r"^var REOPENS = /(.*)/;$", SOURCE["realtime.js"], re.MULTILINE)
    for code, *_, reopens in rows("closes"):
        assert reopens == ("yes" if re.fullmatch(expression, code[:4]) else "no"), code


def test_transports() -> None:
    (sentence,) = re.findall(r"^All eight .*?\.", PAGE, re.MULTILINE | re.DOTALL)
    assert names(sentence) == list(TRANSPORTS)


def test_choosing_has_every_transport() -> None:
    choosing = (ROOT / "docs" / "choosing.md").read_text("utf-8")
    table = choosing.partition("## In a sentence each\n\n")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)`", table, re.MULTILINE) == list(TRANSPORTS)


def test_libraries_are_those_that_are_run() -> None:
    package = json.loads((ROOT / "tests" / "compat" / "websocket" / "package.json").read_text("utf-8"))
    helpers = {"graphql", "ws", "yjs"}
    assert sorted(name for row in rows("libraries") for name in re.findall("`(.*?)`", row[0])) == sorted(
        set(package["dependencies"]) - helpers
    )
