"""Annotations as types: what a type allows the check of arguments takes, and the other way round."""

from __future__ import annotations

import dataclasses
import enum
import json
import sys
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NewType, NotRequired, Optional, TypedDict

import msgspec
import pydantic
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realtime.events.annotations import Misfit, check_of
from realtime.typescript.forms import Forms, NoForm, Side

from ..events.test_annotations import RIGHT, WRONG, Chain, Color, Point, Tree, User
from .compiler import Compiler, needs_compiler
from .model import JSON, Read, read_types

Key = NewType("Key", str)


class Kind(enum.IntEnum):
    ONE = 1
    TWO = 2


class Shade(enum.StrEnum):
    RED = "red"


class Odd(enum.Enum):
    BYTES = b"x"


@dataclasses.dataclass
class Person:
    """With members that may be left out, and no word of its own about their values."""

    name: str
    age: int = 7
    tags: list[str] = dataclasses.field(default_factory=list)
    point: Point | None = None


class Parts(TypedDict, total=False):
    data: bytes
    kinds: typing.Required[list[Kind]]
    new: Any  # a word of TypeScript's
    person: Person


class Inner(TypedDict):
    items: list[int]


class Outer(TypedDict):
    """It is no other to write than to read, but what is in it is."""

    inner: Inner


class Same(TypedDict):
    number: int


Odd_names = TypedDict("Odd_names", {"a b": str, "a-b": NotRequired[int], "é": bool})


class Struct(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    data: bytes | None = None
    inside: dict[str, Struct] = {}


class Tagged(msgspec.Struct, tag="tagged", array_like=True):
    one: int
    two: Literal["x", 2] = 2


class Shape(msgspec.Struct, tag=True, rename="camel", forbid_unknown_fields=True):
    is_it: bool
    tagged: tuple[int, Tagged] | None = None


class Model(pydantic.BaseModel, extra="forbid"):
    own: Color
    inner: list[Model] = []
    other: Annotated[int | None, pydantic.Field(alias="the other")] = None
    data: bytes = b""
    anything: Any = None
    pair: tuple[int, str] = (1, "a")


@dataclasses.dataclass
class Nothing:
    made: int = dataclasses.field(init=False, default=5)


KINDS: list[Any] = [
    *(str, bool, int, float, bytes, None, list, tuple, dict, Any, object),
    *(Color, Kind, Shade, Point, Person, Parts, Inner, Outer, Same, Odd_names, Tree, Chain),
    *(Struct, Tagged, Shape, Model, Nothing, Key),
    *(Literal["a", 1, True, None], Literal["é\n", -5], Literal[Shade.RED, Color.ONE], tuple[()]),
]


def combined(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Annotations that are made of others."""
    generic = [
        lambda kind: list[kind],  # type: ignore[valid-type]
        lambda kind: Sequence[kind],  # type: ignore[valid-type]
        lambda kind: dict[str, kind],  # type: ignore[valid-type]
        lambda kind: Mapping[str, kind],  # type: ignore[valid-type]
        lambda kind: tuple[kind, ...],  # type: ignore[valid-type]
        lambda kind: tuple[kind],  # type: ignore[valid-type]
        lambda kind: Optional[kind],  # noqa: UP045
        lambda kind: Annotated[kind, "of feet"],
    ]
    both = [lambda one, other: tuple[one, other], lambda one, other: typing.Union[one, other]]  # type: ignore[valid-type] # noqa: UP007
    return st.one_of(
        st.tuples(st.sampled_from(generic), inner).map(lambda made: made[0](made[1])),
        st.tuples(st.sampled_from(both), inner, inner).map(lambda made: made[0](made[1], made[2])),
    )


ANNOTATIONS = st.recursive(st.sampled_from(KINDS), combined, max_leaves=4)


def text_of(annotation: Any, side: Side = Side.TAKEN) -> str:
    """The type of an annotation, called It, and what it needs."""
    forms = Forms({"It"})
    return forms.finish(f"export type It = {forms.of(annotation, side)};\n")


def form(annotation: Any, side: Side = Side.TAKEN) -> str:
    """The type alone."""
    return text_of(annotation, side).partition(";\n")[0].removeprefix("export type It = ")


def read(annotation: Any) -> Read:
    """What the type of an annotation allows."""
    return read_types(text_of(annotation))["It"]


def takes(annotation: Any, value: Any) -> bool:
    """Whether a handler would be given it."""
    check = check_of(annotation)
    try:
        if check is not None:
            check(value, "a")
    except Misfit:
        return False
    return True


SLOWLY = settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=100)


@SLOWLY
@given(ANNOTATIONS, st.data())
def test_what_the_type_allows_is_taken(annotation: Any, data: st.DataObject) -> None:
    value = data.draw(read(annotation).values)
    check = check_of(annotation)
    if check is not None:
        check(value, "a")


@SLOWLY
@given(ANNOTATIONS, ANNOTATIONS, st.data())
def test_what_is_taken_the_type_allows(annotation: Any, other: Any, data: st.DataObject) -> None:
    value = data.draw(st.one_of(read(other).values, read(list[other] | dict[str, other]).values, JSON))
    if takes(annotation, value) and not lenient(annotation):
        assert read(annotation).fits(value)


def lenient(annotation: Any) -> bool:
    """Whether somebody takes more than he says: pydantic makes numbers of text, and bytes; msgspec bytes of text."""
    found = text_of(annotation)
    return any(name in found for name in ("Model", "Struct"))


@pytest.mark.parametrize(
    ("annotation", "taken", "sent"),
    [
        (str, "string", "string"),
        (float | int, "number", "number"),
        (bytes, "ArrayBuffer | ArrayBufferView", "ArrayBuffer"),
        (None, "null", "null"),
        (str | None, "string | null", "string | null"),
        (Any, "Value", "any"),
        (int | Any, "Value", "any"),
        (list, "readonly Value[]", "any[]"),
        (list[str], "readonly string[]", "string[]"),
        (list[str | None], "readonly (string | null)[]", "(string | null)[]"),
        (list[list[int]], "readonly (readonly number[])[]", "number[][]"),
        (list[bytes], "readonly (ArrayBuffer | ArrayBufferView)[]", "ArrayBuffer[]"),
        (tuple, "readonly Value[]", "any[]"),
        (tuple[int, ...], "readonly number[]", "number[]"),
        (tuple[int, str], "readonly [number, string]", "[number, string]"),
        (tuple[()], "readonly []", "[]"),
        (dict, "{ readonly [member: string]: Value }", "{ [member: string]: any }"),
        (Mapping[str, int], "{ readonly [member: string]: number }", "{ [member: string]: number }"),
        (Literal["a", 1, None, False], '"a" | 1 | null | false', '"a" | 1 | null | false'),
        (Kind, "1 | 2", "1 | 2"),
        (list[Shade], 'readonly "red"[]', '"red"[]'),
        (Annotated[Key, "x"], "string", "string"),
        (Same, "Same", "Same"),
    ],
    ids=str,
)
def test_both_sides(annotation: Any, taken: str, sent: str) -> None:
    assert form(annotation) == taken
    assert form(annotation, Side.SENT) == sent
    assert form(annotation, Side.ANSWERED) == taken


def test_keys_of_what_is_sent() -> None:
    assert form(dict[int, str], Side.SENT) == "{ [member: number]: string }"
    assert form(dict[Key, str], Side.SENT) == "{ [member: string]: string }"
    assert form(bytearray, Side.SENT) == form(memoryview, Side.SENT) == "ArrayBuffer"
    assert form(typing.NoReturn, Side.SENT) == "never"


def test_records() -> None:
    assert text_of(list[Odd_names] | User).partition("\n\n")[2] == (
        'export type Odd_names = {\n  "a b": string;\n  "a-b"?: number;\n  "é": boolean;\n};\n'
        "\nexport type User = {\n  name: string;\n  age?: number;\n  tags?: readonly string[];\n"
        "  point?: Point | null;\n};\n"
        "\nexport type Point = {\n  x: number;\n  label?: string;\n};\n"
    )
    assert text_of(Nothing).endswith("export type Nothing = {\n  [member: string]: never;\n};\n")


def test_what_differs_has_two_names() -> None:
    forms = Forms(["Same"])
    written, read = forms.of(Outer | Same, Side.TAKEN), forms.of(Outer | Same, Side.SENT)
    assert forms.finish(f"{written}; {read}\n") == (
        "OuterInput | Same2; Outer | Same2\n"
        "\nexport type OuterInput = {\n  inner: InnerInput;\n};\n"
        "\nexport type InnerInput = {\n  items: readonly number[];\n};\n"
        "\nexport type Same2 = {\n  number: number;\n};\n"
        "\nexport type Outer = {\n  inner: Inner;\n};\n"
        "\nexport type Inner = {\n  items: number[];\n};\n"
    )


def test_classes_of_the_same_name() -> None:
    typed_dict: Any = TypedDict
    classes = (Same, typed_dict("Same", {"text": str}), list[Same])
    assert text_of(tuple.__class_getitem__(classes)).startswith(
        "export type It = readonly [Same, Same2, readonly Same[]];\n\nexport type Same = {\n  number: number;\n};\n"
    )


def test_names_that_typescript_has_not() -> None:
    typed_dict: Any = TypedDict
    for name, shown in (("new", "_new"), ("a b", "AB"), ("2nd", "_2nd"), ("-", "Type"), ("é_è", "é_è")):
        assert form(typed_dict(name, {"x": int})) == shown
    page = pydantic.create_model("Page[int]", items=(list[int], ...))
    assert form(page) == "PageInt"


def test_text_that_has_no_place_in_a_line() -> None:
    assert form(Literal["a\u2028b", "\ud800", "é"]) == '"a\\u2028b" | "\\ud800" | "é"'


def test_a_model_that_is_no_object() -> None:
    class Numbers(pydantic.RootModel[list[int]]):
        pass

    assert text_of(Numbers) == "export type It = Numbers;\n\nexport type Numbers = readonly number[];\n"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="`type` came with Python 3.12")
def test_aliases() -> None:
    names: dict[str, Any] = {}
    exec("type Tree = int | list[Tree]\ntype Text = str", names)
    assert check_of(names["Text"]) is check_of(str)
    assert text_of(names["Text"]) == "export type It = Text;\n\nexport type Text = string;\n"
    assert text_of(names["Tree"], Side.SENT).endswith("\nexport type Tree = number | Tree[];\n")


def test_what_packages_say() -> None:
    assert text_of(Shape).partition("\n\n")[2] == (
        'export type Shape = {\n  type: "Shape";\n  isIt: boolean;\n'
        "  tagged?: readonly [number, Tagged] | null;\n};\n"
        '\nexport type Tagged = readonly ["tagged", number, (2 | "x")?];\n'
    )
    assert text_of(Model).partition("\n\n")[2] == (
        "export type Model = {\n"
        "  own: Color;\n"
        "  inner?: readonly Model[];\n"
        '  "the other"?: number | null;\n'
        "  data?: ArrayBuffer | ArrayBufferView;\n"
        "  anything?: Value;\n"
        "  pair?: readonly [number, string];\n"
        '};\n\nexport type Color = "red" | 1;\n'
    )


@pytest.mark.parametrize(
    ("annotation", "side", "told"),
    [
        (Odd, Side.TAKEN, "JSON has no b'x', which Odd.BYTES stands for"),
        (Literal[b"x"], Side.TAKEN, "JSON has no b'x'"),
        (set[int], Side.SENT, r"set\[int\] has no form in JSON"),
        (complex, Side.SENT, "complex has no form in JSON"),
        ("User", Side.SENT, "'User' has no form in JSON"),
        (dict[bool, int], Side.SENT, "the keys of JSON's objects are str, not bool"),
        (dict[int, int], Side.TAKEN, "the keys of JSON's objects are str, not int"),
        (User, Side.SENT, "User is made of what comes, and nothing else: write dict, or the TypedDict that says what"),
        (list[Struct], Side.SENT, "Struct is made of what comes"),
        (Model | None, Side.ANSWERED, "Model is made of what comes"),
        (Color, Side.SENT, "Color.RED is not written as JSON: make Color a StrEnum, or an IntEnum"),
        (Parts, Side.SENT, "Parts.person: Person is made of what comes"),
        (tuple[int, *tuple[str, ...]], Side.SENT, "a tuple in which another is unpacked"),
        (tuple[*tuple[str, ...], int], Side.TAKEN, "a tuple in which another is unpacked"),
        (bytearray, Side.TAKEN, "bytearray has no form in JSON"),
    ],
    ids=str,
)
def test_what_has_no_form(annotation: Any, side: Side, told: str) -> None:
    with pytest.raises(NoForm, match=told):
        Forms(()).of(annotation, side)


def test_what_has_no_schema() -> None:
    class Strange(pydantic.BaseModel, arbitrary_types_allowed=True):
        what: Forms

    class Silent:
        @staticmethod
        def model_validate(value: object) -> object:
            return value

    class Elsewhere:
        @staticmethod
        def model_validate(value: object) -> object:
            return value

        @staticmethod
        def model_json_schema() -> dict[str, str]:
            return {"$ref": "https://example.org/schema"}

    Broken = TypedDict("Broken", {"a": "Nobody"})  # type: ignore[name-defined] # noqa: F821, UP013
    for cls, told in (
        (Strange, "Strange has no JSON schema: "),
        (Silent, "no JSON schema"),
        (Elsewhere, "Elsewhere: its JSON schema refers to 'https://example.org/schema'"),
        (Broken, "what is in Broken"),
    ):
        with pytest.raises(NoForm, match=told):
            Forms(()).of(cls, Side.TAKEN)


# -- TypeScript's own word -------------------------------------------------------------------------------------------

# What TypeScript can't say is the server's to check: whole numbers, and what a class's own code wants.
UNSAID = [(int, 5.5), (User, {"name": "a", "age": -1})]


def written(value: Any) -> str:
    """A value as a page has it."""
    if isinstance(value, bytes):
        return "new ArrayBuffer(1)"
    if isinstance(value, (list, dict)):
        inside = (
            map(written, value) if isinstance(value, list) else (f"{json.dumps(k)}: {written(value[k])}" for k in value)
        )
        return f"[{', '.join(inside)}]" if isinstance(value, list) else f"{{ {', '.join(inside)} }}"
    return json.dumps(value, default=lambda _: {})


@needs_compiler
def test_the_compiler_agrees(tmp_path: Path, compiler: Compiler) -> None:
    right = [(annotation, value) for annotation, value, _ in RIGHT]
    wrong = [(annotation, value) for annotation, value, _ in WRONG if (annotation, value) not in UNSAID]
    forms = Forms(())
    lines = [
        f"export const x{n}: {forms.of(kind, Side.TAKEN)} = {written(value)};\n"
        for n, (kind, value) in enumerate(right + wrong)
    ]
    head = 'import type { Value } from "aiohttp-realtime/events"; '
    found = compiler.compiled(tmp_path, {"values.ts": forms.finish(head + "".join(lines))})
    assert sorted({each.line for each in found}) == list(range(len(right) + 1, len(lines) + 1)), found
