"""What handlers say they take, held against what comes."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import sys
from collections.abc import Mapping, Sequence
from types import GenericAlias
from typing import Annotated, Any, Literal, NewType, NotRequired, Optional, TypedDict

import pytest
import typing_extensions

from realtime.events.annotations import Misfit, check_of, exact_of, resolved
from realtime.typescript.forms import Forms, Side


class Color(enum.Enum):
    RED = "red"
    ONE = 1


class Half(enum.Enum):
    HALF = 0.5
    WHOLE = 1.0


class Tree(TypedDict):
    children: list[Tree]
    of: NotRequired[Chain | None]


@dataclasses.dataclass
class Chain:
    next: Chain | None = None


class Point(TypedDict):
    x: float
    label: NotRequired[str]


@dataclasses.dataclass
class User:
    name: str
    age: int = 7
    tags: list[str] = dataclasses.field(default_factory=list)
    point: Point | None = None

    def __post_init__(self) -> None:
        if self.age < 0:
            raise ValueError("nobody is that young")


RIGHT: list[tuple[Any, Any, Any]] = [
    (str, "é", "é"),
    (bool, True, True),
    (int, 5, 5),
    (int, 5.0, 5),
    (float, 5, 5.0),
    (float, 5.5, 5.5),
    (bytes, b"x", b"x"),
    (None, None, None),
    (type(None), None, None),
    (str | None, None, None),
    (Optional[int], 5, 5),  # noqa: UP045
    (int | str, "a", "a"),
    (int | list[int], [1], [1]),
    (Any | None, object, object),
    (list, [1, "a"], [1, "a"]),
    (list[int], [1, 2.0], [1, 2]),
    (list[Any], [1, None], [1, None]),
    (Sequence[bytes], [b"x"], [b"x"]),
    (tuple, [1], (1,)),
    (tuple[int, ...], [1, 2], (1, 2)),
    (tuple[int, Any], [1, "a"], (1, "a")),
    (dict, {"a": 1}, {"a": 1}),
    (dict[str, int], {"a": 1}, {"a": 1}),
    (Mapping[str, Any], {"a": b"x"}, {"a": b"x"}),
    (Literal["a", 1], 1, 1),
    (Literal["a", 1], 1.0, 1),
    (Literal[Color.RED, "x"], "red", Color.RED),
    (tuple[()], [], ()),
    (NewType("Feet", int), 5, 5),
    (Half, 1, Half.WHOLE),
    (Tree, {"children": [{"children": [], "of": None}]}, {"children": [{"children": [], "of": None}]}),
    (Chain, {"next": {"next": {}}}, Chain(Chain(Chain()))),
    (Half, 0.5, Half.HALF),
    (Annotated[int, "of feet"], 5, 5),
    (Color, "red", Color.RED),
    (Color, 1, Color.ONE),
    (Point, {"x": 1}, {"x": 1.0}),
    (Point, {"x": 1, "label": "a"}, {"x": 1.0, "label": "a"}),
    (User, {"name": "ada"}, User("ada")),
    (list[User], [{"name": "ada", "age": 3, "point": {"x": 1}}], [User("ada", 3, [], {"x": 1.0})]),
]
WRONG: list[tuple[Any, Any, str]] = [
    (str, 5, "a is a str, not a number"),
    (str, None, "a is a str, not null"),
    (bool, 1, "a is a bool, not a number"),
    (int, True, "a is a whole number, not a bool"),
    (int, 5.5, "a is a whole number, not 5.5"),
    (int, "5", "a is a whole number, not a str"),
    (float, False, "a is a number, not a bool"),
    (bytes, "x", "a is bytes, not a str"),
    (None, 0, "a is null, not a number"),
    (str | None, 5, "a is a str, not a number"),
    (int | str | None, [], "a is none of what it may be (int | str | NoneType), but an array"),
    (list[int], {}, "a is an array, not an object"),
    (list[int], [1, "x"], "a[1] is a whole number, not a str"),
    (tuple[int, int], [1], "a is an array of 2"),
    (tuple[int, str], [1, 2], "a[1] is a str, not a number"),
    (dict[str, list[str]], {"b": [None]}, "a.b[0] is a str, not null"),
    (dict, [], "a is an object, not an array"),
    (Literal["a", 1], True, "a is one of 'a', 1"),
    (Literal["a", 1], 1.5, "a is one of 'a', 1"),
    (Literal[Color.RED, "x"], "blue", "a is one of 'red', 'x'"),
    (tuple[()], [1], "a is an array of 0"),
    (NewType("Feet", int), "5", "a is a whole number, not a str"),
    (Half, True, "a is one of 0.5, 1.0"),
    (Tree, {"children": [{"children": [{}]}]}, "a.children[0].children[0].children is missing"),
    (Chain, {"next": {"next": 5}}, "a.next.next is an object, not a number"),
    (Color, "blue", "a is one of 'red', 1"),
    (Color, True, "a is one of 'red', 1"),
    (Point, {}, "a.x is missing"),
    (Point, {"x": 1, "y": 2}, "a has no member 'y'"),
    (Point, b"", "a is an object, not bytes"),
    (User, {"name": 1}, "a.name is a str, not a number"),
    (User, {"name": "a", "point": {"x": "1"}}, "a.point.x is a number, not a str"),
    (User, {"name": "a", "age": -1}, "a: nobody is that young"),
    (User, {"name": "a", "__class__": 1}, "a has no member '__class__'"),
]


def fitted(annotation: Any, value: Any) -> Any:
    """The value as the handler gets it."""
    check = check_of(annotation)
    return value if check is None else check(value, "a")


@pytest.mark.parametrize(("annotation", "value", "given"), RIGHT, ids=str)
def test_what_fits(annotation: Any, value: Any, given: Any) -> None:
    found = fitted(annotation, value)
    assert found == given
    assert type(found) is type(given)


@pytest.mark.parametrize(("annotation", "value", "told"), WRONG, ids=str)
def test_what_does_not(annotation: Any, value: Any, told: str) -> None:
    with pytest.raises(Misfit) as caught:
        fitted(annotation, value)
    assert str(caught.value) == told


@dataclasses.dataclass
class Leaf:
    of: Leaf | Stem | None
    kind: Literal["leaf"]


@dataclasses.dataclass
class Stem:
    of: Leaf | Stem | None
    kind: Literal["stem"]


def test_unions_in_unions_ask_about_each_value_once() -> None:
    """Each alternative would ask again about all that is below: 2**50 times about the last."""
    check = check_of(Leaf | Stem)
    assert check is not None
    for last, fits in (("stem", True), ("none", False)):
        value: Any = {"of": None, "kind": last}
        for _ in range(50):
            value = {"of": value, "kind": "stem"}
        if fits:
            made = check(value, "a")
            assert (type(made), made.of.kind) == (Stem, "stem")
        else:
            with pytest.raises(Misfit, match="a is none of what it may be"):
                check(value, "a")
    assert fitted(Leaf | Stem, {"of": None, "kind": "leaf"}) == Leaf(None, "leaf")


def test_where_a_value_stands_is_said_only_where_it_is_told() -> None:
    """Every item of an array would carry the keys that it is below, which may be a million characters."""

    class Key(str):
        __slots__ = ()

        def __format__(self, spec: str) -> str:
            raise AssertionError

    assert fitted(dict[str, list[int]], {Key("k"): [1, 2]}) == {"k": [1, 2]}
    with pytest.raises(Misfit) as caught:
        fitted(dict[str, list[int]], {"k" * 1000: [1, "x"]})
    assert str(caught.value) == f"a.{'k' * 64}[1] is a whole number, not a str"


def test_a_number_that_no_float_can_be() -> None:
    """JSON has it, and an int can be it."""
    assert fitted(int, 10**400) == 10**400
    for annotation, value in ((float, 10**400), (list[float], [-(10**400)])):
        with pytest.raises(Misfit, match="is a number that is too large"):
            fitted(annotation, value)


def test_anything() -> None:
    assert check_of(Any) is None
    assert check_of(object) is None


@pytest.mark.parametrize(
    "annotation",
    [complex, dict[int, str], set[int], "str", type, list[complex], User | complex, tuple[int, *tuple[str, ...]]],
    ids=str,
)
def test_what_no_event_brings(annotation: Any) -> None:
    with pytest.raises(TypeError, match=r"no event brings|can't come"):
        check_of(annotation)


@pytest.mark.parametrize(
    "annotation",
    [
        "list[Point]",
        list["Point"],
        "list['Point']",
        "'list[Point]'",
        Annotated[list["Point"], "many"],
        Optional[list["Point"]],  # noqa: UP045 # which text in it may have to be
        Sequence["Point"],
    ],
    ids=str,
)
def test_text_is_what_it_names_wherever_it_stands(annotation: Any) -> None:
    def handler(a: Any) -> None: ...

    found = resolved(annotation, handler)
    assert fitted(found, [{"x": 1}]) == [{"x": 1.0}]
    with pytest.raises(Misfit, match=r"\.x is missing"):
        fitted(found, [{}])
    for wrong, error in (("Nowhere", NameError), ("Point [", SyntaxError)):
        with pytest.raises(error):
            resolved(GenericAlias(list, (wrong,)), handler)
    assert resolved(Literal["Nowhere"], handler) == Literal["Nowhere"]
    assert resolved(Annotated[int, "Nowhere"], handler) == Annotated[int, "Nowhere"]


@dataclasses.dataclass
class When:
    """A class that is made of text."""

    date: str

    def __post_init__(self) -> None:
        datetime.date.fromisoformat(self.date)  # whose error has all of it


def test_what_a_class_repeats_is_cut() -> None:
    with pytest.raises(Misfit, match=r"^a: Invalid isoformat string: 'x{400,499}$"):
        fitted(When, {"date": "x" * 1000})


def test_msgspec_and_pydantic() -> None:
    msgspec, pydantic = pytest.importorskip("msgspec"), pytest.importorskip("pydantic")
    struct = msgspec.defstruct("struct", [("name", str), ("age", int, 7)])
    model = pydantic.create_model("model", name=(str, ...), age=(int, 7))
    for cls in (struct, model):
        made = fitted(cls, {"name": "ada", "age": 5})
        assert (type(made), made.name, made.age) == (cls, "ada", 5)
        assert fitted(list.__class_getitem__(cls), [{"name": "ada"}])[0].age == 7
        with pytest.raises(Misfit, match=r"^a: .*(age|int)"):
            fitted(cls, {"name": "ada", "age": "old"})
    many = pydantic.create_model("many", names=(list[str], ...))
    with pytest.raises(Misfit, match=r"^a: names\.0: .*; names\.1: Input should be a valid string$"):
        fitted(many, {"names": [0] * 2})
    with pytest.raises(Misfit, match=r"^a: it is wrong in 99 places$"):  # there is one for every two bytes, perhaps
        fitted(many, {"names": [0] * 99})
    by_number = msgspec.defstruct("by_number", [("names", dict[int, str])])
    assert fitted(by_number, {"names": {"5": "ada"}}).names == {5: "ada"}  # all keys of JSON are text


@pytest.mark.skipif(sys.version_info < (3, 12), reason="`type` came with Python 3.12")
def test_an_alias_is_what_it_names() -> None:
    names: dict[str, Any] = {"Any": Any}
    exec("type Text = str\ntype Deep = int | list[Deep]\ntype Open = Any", names)
    assert check_of(names["Text"]) is check_of(str)
    assert fitted(names["Deep"], [[1.0, []], 2]) == [[1, []], 2]
    with pytest.raises(Misfit, match=r"^a is none of what it may be \(int \| list\), but an array$"):
        fitted(names["Deep"], ["x"])
    assert check_of(names["Open"]) is None


def test_what_typing_extensions_has_of_its_own() -> None:
    """On versions of Python whose typing has less; pydantic wants its TypedDict there."""

    class Reading(typing_extensions.TypedDict):
        value: typing_extensions.ReadOnly[int]
        unit: typing_extensions.NotRequired[str]

    alias = typing_extensions.TypeAliasType("alias", list[Reading])
    assert fitted(alias, [{"value": 1.0}]) == [{"value": 1}]
    with pytest.raises(Misfit, match=r"a\[0\]\.value is a whole number, not a str"):
        fitted(alias, [{"value": "1"}])
    with pytest.raises(Misfit, match=r"a\[0\]\.value is missing"):
        fitted(alias, [{"unit": "m"}])
    forms = Forms(())
    written = forms.finish(forms.of(alias, Side.TAKEN))
    assert "  value: number;\n  unit?: string;\n" in written


def test_what_fits_as_it_is_is_not_asked_about() -> None:
    """A value of this type is what its check makes of it; any other is checked."""
    found = 0
    for annotation, value, _ in RIGHT:
        check = check_of(annotation)
        if check is not None and type(value) is exact_of(check):
            assert check(value, "it") is value
            found += 1
    assert found > 5
    assert exact_of(None) is None
    assert exact_of(check_of(int | None)) is None
    assert exact_of(check_of(int)) is int  # and no bool


def test_what_fits_one_of_several_types_makes_no_errors_of_those_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which took 25 times as long: an event may bring a third of a million of these."""

    def raises(*_: Any) -> Misfit:
        raise AssertionError

    monkeypatch.setattr("realtime.events.annotations._wrong", raises)
    for value in (1, "x", None, True, b"x"):
        found = check_of(int | str | bool | bytes | float | None)(value, "it")  # type: ignore[misc]
        assert (type(found), found) == (type(value), value)
    for annotation, number, kind in ((float | int, 1, float), (int | float, 1.0, int), (float | None, 1, float)):
        made: Any = check_of(annotation)(number, "it")  # type: ignore[misc]
        assert type(made) is kind  # the first of the two takes both, as ever
