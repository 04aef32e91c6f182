"""What is written of whole namespaces: names, methods, answers, and what can't be said."""

from __future__ import annotations

import asyncio
import enum
import functools
import json
import re
from collections.abc import Awaitable, Coroutine
from typing import Any, TypedDict

import msgspec
import pytest

import realtime
from realtime.core.errors import LocalProtocolError
from realtime.protocols.layers.socketio.answers import answers
from realtime.protocols.layers.socketio.values import write
from realtime.typescript.declarations import Home, Unsayable, declarations

from .model import UNDEFINED, read_type

S = realtime.EventSession


def written(events: realtime.Events, path: str = "/chat") -> str:
    """All that is written of them, without its first line."""
    return declarations([Home(f"/realtime{path}", path, events)], "app:app").partition("\n\n")[2]


def methods(events: realtime.Events, kind: str = "Sent") -> list[str]:
    """The methods of the first interface of this kind."""
    (body,) = re.findall(rf"^export interface Chat{kind}.*? {{\n(.*?)^}}$", written(events), re.MULTILINE | re.DOTALL)
    return [line.strip() for line in body.splitlines()]


def test_nothing_is_said() -> None:
    events = realtime.Events()
    events.on("disconnect")(lambda session: None)
    assert declarations([Home("/realtime/chat", "/chat", events)], "app:\napp*/") == (
        '// Written by `realtime types "app:\\napp*\\/"`: run it again when handlers have changed.\n'
        '\nimport type { AnyEvents } from "aiohttp-realtime/events";\n'
        '\n/** What a page hears at /realtime/chat, namespace "/". */\nexport type ChatHeard = AnyEvents;\n'
        "\n/** What it sends there. */\nexport interface ChatSent {}\n"
    )


def test_what_is_imported() -> None:
    events = realtime.Events()
    events.emits("news")(lambda what: None)
    assert "import" not in written(events)
    events.on("x")(lambda session, what: None)
    assert written(events).startswith('import type { Value } from "aiohttp-realtime/events";\n')
    events.on("*")(lambda session, *anything: None)
    assert written(events).startswith('import type { AnyEvents, Value } from "aiohttp-realtime/events";\n')
    assert "export interface ChatSent extends AnyEvents {\n" in written(events)


def test_nothing_is_imported_in_vain() -> None:
    class Seat(msgspec.Struct):
        row: int

    events = realtime.Events()
    events.emits("news")(lambda what: None)

    def book(session: S, seat: Any) -> None: ...

    book.__annotations__["seat"] = Seat
    events.on("book")(book)
    assert "import" not in written(events)


def test_arguments() -> None:
    events = realtime.Events()

    @events.on("plain")
    def plain(session: S, a: int, b: str = "", *rest: bool) -> None: ...

    @events.on("a word")
    async def words(session: S, new: int, new_: int, this: int, ünder: int, *, only: int = 1) -> None: ...

    @events.on("constructor")
    def untold(session, a, *b):  # type: ignore[no-untyped-def]
        ...

    class Object:
        async def method(self, session: S, a: int) -> str:
            return str(a)

        async def __call__(self, session: S, a: bool) -> bool:
            return a

    events.on("method")(Object().method)
    events.on("called")(Object())
    events.on("partial")(functools.partial(plain, b="x"))
    events.on("built in")(print)
    assert methods(events) == [
        "plain(a: number, b?: string, ...rest: boolean[]): void;",
        '"a word"(new__: number, new_: number, this_: number, ünder: number): void;',
        '"constructor"(a: Value, ...b: Value[]): any;',
        "method(a: number): string;",
        "called(a: boolean): boolean;",
        "partial(a: number): void;",
        '"built in"(...args: Value[]): any;',
    ]


def answering(annotation: Any) -> Any:
    """A handler that returns what the annotation says."""

    def handle(session: S):  # type: ignore[no-untyped-def]
        ...

    handle.__annotations__["return"] = annotation
    return handle


def test_answers() -> None:
    events = realtime.Events()
    annotations: dict[str, Any] = {
        "none": None,
        "some": str | None,
        "one": tuple[int],
        "two": tuple[int, str | None],
        "either": tuple[int, str] | tuple[()] | bool,
        "any number": tuple[str, ...],
        "whatever": tuple,
        "listed": list[tuple[int, None]],
        "coming": Awaitable[int],
        "to come": Coroutine[Any, Any, tuple[int, int]],
        "some time": asyncio.Future[str],
        "data": bytes,
    }

    for event, annotation in annotations.items():
        events.on(event)(answering(annotation))
    assert [line.partition("(): ")[2] for line in methods(events)] == [
        "void;",
        "string | undefined;",
        "number;",
        "[number, string | null];",
        "[number, string] | undefined | boolean;",
        "string | string[] | undefined;",
        "any;",
        "[number, null][];",
        "number;",
        "[number, number];",
        "string;",
        "ArrayBuffer;",
    ]


class Size(enum.IntEnum):
    """It is written as its number."""

    SMALL = 1
    LARGE = 2


@pytest.mark.parametrize(
    ("annotation", "values"),
    [
        (None, [None]),
        (str | None, [None, "a"]),
        (tuple[()], [()]),
        (tuple[int], [(1,)]),
        (tuple[None], [(None,)]),
        (tuple[int, str | None], [(1, "a"), (1, None)]),
        (tuple[str, ...], [(), ("a",), ("a", "b")]),
        (tuple[int, str] | bool | None, [(1, "a"), True, None]),
        (tuple, [(), (1,), (None, "a")]),
        (list[tuple[int, None]], [[], [(1, None)]]),
        (list[tuple[str, ...]], [[(), ("a",)]]),
        (dict[int, tuple[()]], [{}, {5: ()}]),
        (list[Size] | Size, [[Size.SMALL], Size.LARGE]),
        (float, [1, 1.5]),
    ],
    ids=str,
)
def test_answers_are_what_a_page_gets(annotation: Any, values: list[Any]) -> None:
    events = realtime.Events()
    events.on("x")(answering(annotation))
    (line,) = methods(events)
    form = read_type(line.removeprefix("x(): ").removesuffix(";"))
    for value in values:
        answered = json.loads(write(answers(value))[0])
        got = answered if len(answered) > 1 else answered[0] if answered else UNDEFINED  # as the client has it
        assert form.fits(got), (value, line)
    assert not form.fits({"nothing": "of these"}) or annotation in (tuple, dict)


class Thing(TypedDict):
    """What is heard."""

    parts: list[bytes]


def test_what_is_heard() -> None:
    events = realtime.Events()

    @events.emits("thing made")
    def made(thing: Thing, count: int = 1, *others: Thing) -> None: ...

    @events.emits("choose")
    def choose(among: list[str]) -> str | None: ...

    @events.emits("give")
    def give() -> tuple[int, bytes]:
        raise NotImplementedError

    @events.emits("untold")
    def untold(what):  # type: ignore[no-untyped-def]
        ...

    assert methods(events, "Heard") == [
        '"thing made"(thing: Thing, count?: number, ...others: Thing[]): void;',
        "choose(among: string[]): string | null | undefined;",
        "give(): readonly [number, ArrayBuffer | ArrayBufferView];",
        "untold(what: any): any;",
    ]


async def is_room(name: str, auth: dict[str, Any]) -> bool:
    """Whether there is such a namespace."""
    return name.startswith("/room")


def test_names() -> None:
    events, other, third = realtime.Events(), realtime.Events(), realtime.Events()
    for name in ("/admin", re.compile("^/game-[0-9]+"), is_room, re.compile(".*/x"), "/"):
        events.namespace(name)
    homes = [
        Home("/realtime/chat", "/chat", events),
        Home("/other/chat/admin", "/chat/admin", other),
        Home("/2048", "/2048", third),
        Home("/über-uns/x_y", "/über-uns/x_y", realtime.Events()),
        Home("/-", "/-", realtime.Events()),
    ]
    text = declarations(homes, "app:app")
    assert re.findall(r"(\w+)Heard", text) == [
        *("Chat", "ChatAdmin", "ChatGame", "ChatIsRoom", "ChatMany", "ChatAdmin2", "_2048", "ÜberUnsXY", "Events")
    ]
    assert re.findall(r"hears at (.*)\. ", text)[:5] == [
        '/realtime/chat, namespace "/"',
        '/realtime/chat, namespace "/admin"',
        '/realtime/chat, namespaces "^/game-[0-9]+"',
        '/realtime/chat, namespaces "is_room"',
        '/realtime/chat, namespaces ".*\\/x"',
    ]


class ChatSent(TypedDict):
    """It has the name of an interface of ours."""

    a: int


def test_a_class_with_a_name_that_is_taken() -> None:
    events = realtime.Events()

    @events.on("connect")
    async def connect(session: S, auth: ChatSent) -> None: ...

    @events.on("x")
    async def x(session: S, what: ChatSent) -> ChatSent:
        return what

    text = written(events)
    assert "\n  x(what: ChatSent2): ChatSent2;\n" in text
    assert "\n/** What `auth` is there. */\nexport type ChatAuth = ChatSent2;\n" in text
    assert text.endswith("\nexport type ChatSent2 = {\n  a: number;\n};\n")


def test_no_auth() -> None:
    events = realtime.Events()
    events.on("connect")(lambda session: None)
    assert "Auth" not in written(events)


class Silent:
    """Nothing says what is in it."""


def test_what_can_not_be_said() -> None:
    events = realtime.Events()
    admin = events.namespace("/admin")

    @events.on("connect")
    async def connect(session: S, auth: Any) -> None: ...

    @events.on("message")
    async def message(session: S, text: str) -> set[int]:
        return {len(text)}

    @admin.emits("news")
    def news(of: Silent, at: int, *more: complex) -> Nowhere: ...  # type: ignore[name-defined] # noqa: F821

    with pytest.raises(Unsayable) as caught:
        written(events)
    here = f"{__name__}.test_what_can_not_be_said.<locals>"
    at = "at /realtime/chat, namespace"
    assert caught.value.reasons == (
        f"the answer of {here}.message, the handler of 'message' {at} \"/\": set[int] has no form in JSON",
        f"the argument 'of' of {here}.news, which declares 'news' {at} \"/admin\": Silent has no form in JSON",
        f"the argument 'more' of {here}.news, which declares 'news' {at} \"/admin\": complex has no form in JSON",
        f"the answer of {here}.news, which declares 'news' {at} \"/admin\": 'Nowhere' can't be found out: name"
        " 'Nowhere' is not defined",
    )
    assert "; " in str(caught.value)


def test_what_is_called_by_something_else() -> None:
    class Object:
        def __call__(self, session: S) -> complex:
            return 1j

    events = realtime.Events()
    events.on("x")(functools.partial(Object()))
    with pytest.raises(Unsayable, match=rf"^the answer of {__name__}\.\S*Object, the handler of 'x'"):
        written(events)


# -- declaring what is sent ------------------------------------------------------------------------------------------


def test_a_declaration_makes_events() -> None:
    events = realtime.Events()

    @events.emits("a")
    def made(one: int, two: str = "two", three: str = "three") -> None:
        """It is told."""

    assert made(1) == ("a", 1)
    assert made(1, "x") == ("a", 1, "x")
    assert made(two="x", one=1) == ("a", 1, "x")
    assert made(1, three="x") == ("a", 1, "two", "x")
    assert (made.__name__, made.__doc__) == ("made", "It is told.")
    with pytest.raises(TypeError, match="missing a required argument: 'one'"):
        made()  # type: ignore[call-arg]
    assert events.named("/")._emitted is events._emitted


@pytest.mark.parametrize(
    ("event", "function", "error", "told"),
    [
        (5, print, TypeError, r"emits\(\) takes the name of an event: .*, not int"),
        ("a", 5, TypeError, "the event 'a' is declared by a function, not int"),
        ("connect", lambda: None, LocalProtocolError, "no event can have this name"),
        ("*", lambda: None, LocalProtocolError, "listens to all events, and is none"),
        ("twice", lambda: None, LocalProtocolError, "the event 'twice' is declared already"),
        ("a", lambda *, b: None, TypeError, "the arguments of an event have no names: 'a' can't have 'b'"),
        ("a", lambda **more: None, TypeError, r"'a' can't have '\*\*more'"),
    ],
)
def test_what_is_no_declaration(event: Any, function: Any, error: type[Exception], told: str) -> None:
    events = realtime.Events()
    events.emits("twice")(lambda: None)
    with pytest.raises(error, match=told):
        events.emits(event)(function)
