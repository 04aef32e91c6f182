"""What handlers say they take, by their annotations, held against what comes: a wrong argument never reaches one.

JSON's own types are checked without any package; dataclasses, and where they are used msgspec's and pydantic's classes,
are made of objects. Knows no events.
"""

from __future__ import annotations

import builtins
import dataclasses
import enum
import functools
import inspect
import itertools
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Literal, TypeAlias, Union, get_args, get_origin

__all__ = [
    "ANY_TUPLE",
    "SHOWN",
    "Check",
    "Misfit",
    "bare",
    "check_of",
    "exact_of",
    "is_alias",
    "is_typeddict",
    "required_members",
    "resolved",
    "unpacked",
]

# Where a value stands: in words; or in what, and there at which index or by which key. It is put into words where that
# is told, and nowhere else: keys are as long as who sends them likes, and there is a place for each value.
Where: TypeAlias = "str | tuple[Where, int | str]"
# Takes a value and where it stands; gives the value, or what is made of it; raises Misfit. None: anything fits.
Check: TypeAlias = "Callable[[Any, Where], Any] | None"

SHOWN = 64  # characters of what a client has named
LONGEST = 500  # and of what a class or a package says of a wrong object,
MOST_TOLD = 16  # of so many wrong places in it


class Misfit(Exception):
    """What came is not what is taken: where, and why."""

    def __init__(self, where: Where, why: str) -> None:
        super().__init__(where, why)
        self.where: Where = where
        self.why: str = why

    def __str__(self) -> str:
        where, steps = self.where, []
        while not isinstance(where, str):
            where, step = where
            steps.append(f"[{step}]" if isinstance(step, int) else f".{step[:SHOWN]}")
        return "".join((where, *reversed(steps), self.why))


def _shown(value: object) -> str:
    """What came, in JSON's words."""
    if value is None:
        return "null"
    names = {bool: "a bool", int: "a number", float: "a number", str: "a str", bytes: "bytes", list: "an array"}
    return names.get(type(value), "an object")


def _wrong(where: Where, takes: str, value: object) -> Misfit:
    return Misfit(where, f" is {takes}, not {_shown(value)}")


def resolved(annotation: Any, function: Callable[..., Any]) -> Any:
    """An annotation that is text, as modules with `from __future__ import annotations` have them, or has text in it,
    such as `list["Node"]`, as what it names. Raises NameError and the like."""
    if not _has_text(annotation):
        return annotation
    code = _code_of(function)
    names = dict(getattr(code, "__globals__", {}))
    if code.__closure__:
        names |= {
            name: cell.cell_contents for name, cell in zip(code.__code__.co_freevars, code.__closure__, strict=True)
        }
    names = {**vars(builtins), **names}
    if isinstance(annotation, str):
        annotation = eval(annotation, names)
        if not _has_text(annotation):
            return annotation
    said = types.SimpleNamespace(__annotations__={"it": annotation})
    return typing.get_type_hints(said, names, include_extras=True)["it"]


def _has_text(annotation: Any) -> bool:
    """Whether an annotation, or one inside it, is text that names something."""
    if isinstance(annotation, (str, typing.ForwardRef)):
        return True
    origin = get_origin(annotation)
    if origin is Literal:
        return False
    args = get_args(annotation)
    return any(map(_has_text, args[:1] if origin is typing.Annotated else args))


def _code_of(function: Any) -> Any:
    """The function that has the code, behind whatever stands around it."""
    while True:
        function = inspect.unwrap(function)
        if isinstance(function, functools.partial):
            function = function.func
        elif inspect.ismethod(function):
            function = function.__func__
        elif inspect.isfunction(function):
            return function
        elif inspect.isfunction(type(function).__call__):
            function = type(function).__call__
        else:
            raise TypeError("it has no Python code")


def bare(annotation: Any, *, aliases: bool = True) -> Any:
    """An annotation without what says nothing about values: Annotated, NotRequired and the like, NewType, and, unless
    `aliases` is False, the name of an alias (`type Name = …`)."""
    while True:
        if get_origin(annotation) in _WRAPPERS or get_origin(annotation) in _backported("ReadOnly"):
            annotation = get_args(annotation)[0]
        elif isinstance(annotation, typing.NewType):
            annotation = annotation.__supertype__
        elif aliases and is_alias(annotation):
            annotation = annotation.__value__
        else:
            return annotation


def unpacked(annotation: Any) -> bool:
    """Whether it stands for several: `*tuple[str, ...]`."""
    return getattr(annotation, "__unpacked__", False) or get_origin(annotation) is typing.Unpack


_WRAPPERS = (typing.Annotated, typing.Required, typing.NotRequired, getattr(typing, "ReadOnly", typing.Required))
ANY_TUPLE = (tuple, typing.Tuple)  # noqa: UP006 # which can be told from that of nothing, tuple[()], only so


def _backported(name: str) -> tuple[Any, ...]:
    """What is called so in typing, and in typing_extensions, where it may be another."""
    modules = typing, sys.modules.get("typing_extensions")
    return tuple(getattr(module, name) for module in modules if hasattr(module, name))


def is_alias(annotation: Any) -> bool:
    """Whether it is the name of another: `type Name = …`, since Python 3.12."""
    return isinstance(annotation, _backported("TypeAliasType"))


def is_typeddict(cls: type) -> bool:
    """Whether it is a TypedDict, whoever's: typing knows nothing of those of typing_extensions."""
    return issubclass(cls, dict) and hasattr(cls, "__required_keys__")


# Classes and aliases whose checks are being made: these may be in themselves.
_making: ContextVar[Mapping[Any, list[Check]]] = ContextVar("realtime checks")


def check_of(annotation: Any) -> Check:
    """How values for this annotation are checked. Raises TypeError for what no event can bring."""
    annotation = bare(annotation, aliases=False)
    if is_alias(annotation):
        return _by_name(annotation, lambda: check_of(annotation.__value__))
    plain = _PLAIN.get(annotation) if isinstance(annotation, type) else None
    if plain is not None:
        return plain
    if annotation in (Any, object):
        return None
    if annotation is None or annotation is type(None):
        return _null
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return _union([check_of(arg) for arg in args], annotation)
    if origin is Literal:
        return _literal(args)
    if annotation in (list, Sequence) or origin in (list, Sequence):
        return _array(check_of(args[0]) if args else None)
    if annotation is tuple or origin is tuple:
        if any(map(unpacked, args)):
            raise TypeError(f"a tuple in which another is unpacked can't come: {annotation!r}")
        return _tuple(args, annotation in ANY_TUPLE)
    if annotation in (dict, Mapping) or origin in (dict, Mapping):
        if args and args[0] not in (str, Any):
            raise TypeError(f"the keys of JSON's objects are str: {annotation!r} can't come")
        return _object(check_of(args[1]) if args else None)
    if isinstance(annotation, type):
        return _by_name(annotation, lambda: _class(annotation))
    raise TypeError(f"no event brings {annotation!r}")


def _by_name(thing: Any, make: Callable[[], Check]) -> Check:
    """The check of what has a name, by which it may stand in itself."""
    making = _making.get({})
    if thing in making:
        made = making[thing]
        return lambda value, where: value if made[0] is None else made[0](value, where)
    made = []
    token = _making.set({**making, thing: made})
    try:
        made.append(make())
    finally:
        _making.reset(token)
    return made[0]


def _exactly(kind: type, takes: str) -> Callable[[Any, Where], Any]:
    def check(value: Any, where: Where) -> Any:
        if type(value) is not kind:
            raise _wrong(where, takes, value)
        return value

    return check


def _int(value: Any, where: Where) -> int:
    if type(value) is int:
        return value
    if type(value) is not float:
        raise _wrong(where, "a whole number", value)
    if not value.is_integer():  # JSON has one kind of number
        raise Misfit(where, f" is a whole number, not {value:g}")
    return int(value)


def _float(value: Any, where: Where) -> float:
    if type(value) not in (int, float):
        raise _wrong(where, "a number", value)
    try:
        return float(value)
    except OverflowError:
        raise Misfit(where, " is a number that is too large") from None


_null = _exactly(type(None), "null")
_PLAIN: dict[Any, Callable[[Any, Where], Any]] = {
    str: _exactly(str, "a str"),
    bool: _exactly(bool, "a bool"),
    bytes: _exactly(bytes, "bytes"),
    int: _int,
    float: _float,
}
_EXACT = {_null: type(None)} | {check: plain for plain, check in _PLAIN.items()}


def exact_of(check: Check) -> type | None:
    """The type of which any value passes this check as it is, if there is one."""
    return None if check is None else _EXACT.get(check)


# What unions have said of arrays and objects, in the check that is under way. What has unions in itself would be asked
# anew by each alternative of the union around it, which doubles with every level: a few hundred bytes would take years.
_said: ContextVar[dict[tuple[int, int], tuple[Any, Misfit | None]] | None] = ContextVar("realtime unions", default=None)


def _union(checks: list[Check], annotation: Any) -> Check:
    if None in checks:
        return None
    # What is one of these stays as it is: an error of each check before its own takes long.
    exact: set[type] = {type(None)} if _null in checks else set()
    checks = [one for one in checks if one is not _null]
    for plain in itertools.takewhile(bool, map(exact_of, checks)):
        assert plain is not None
        if plain not in (int, float) or exact.isdisjoint((int, float)):  # of these the first takes both
            exact.add(plain)

    def check(value: Any, where: Where) -> Any:
        if type(value) in exact:
            return value
        if type(value) not in (list, dict):
            return first(value, where)
        said = _said.get()
        if said is None:
            token = _said.set({})
            try:
                return first(value, where)
            finally:
                _said.reset(token)
        key = id(checks), id(value)
        if key not in said:
            try:
                said[key] = first(value, where), None
            except Misfit as misfit:
                said[key] = None, misfit
        made, wrong = said[key]
        if wrong is not None:
            raise Misfit(wrong.where, wrong.why)
        return made

    def first(value: Any, where: Where) -> Any:
        for one in checks:
            assert one is not None
            try:
                return one(value, where)
            except Misfit as misfit:
                last = misfit
        if len(checks) == 1:
            raise last
        raise Misfit(where, f" is none of what it may be ({_name(annotation)}), but {_shown(value)}")

    return check


def _name(annotation: Any) -> str:
    return " | ".join(getattr(arg, "__name__", str(arg)) for arg in get_args(annotation))


def _literal(values: tuple[Any, ...]) -> Check:
    return _one_of([(one.value if isinstance(one, enum.Enum) else one, one) for one in values])


def _one_of(choices: Sequence[tuple[Any, Any]]) -> Check:
    """One of these values, each with what is given for it."""

    def check(value: Any, where: Where) -> Any:
        numeric = type(value) in (int, float)  # JSON has one kind of number
        for one, given in choices:
            if one == value and (type(one) is type(value) or (numeric and type(one) in (int, float))):
                return given
        raise Misfit(where, f" is one of {', '.join(repr(one) for one, _ in choices)}")

    return check


def _array(inner: Check) -> Check:
    def check(value: Any, where: Where) -> Any:
        if type(value) is not list:
            raise _wrong(where, "an array", value)
        if inner is None:
            return value
        return [inner(item, (where, index)) for index, item in enumerate(value)]

    return check


def _tuple(args: tuple[Any, ...], any_length: bool) -> Check:
    if any_length or args[1:] == (Ellipsis,):
        array = _array(check_of(args[0]) if args else None)
        assert array is not None
        return lambda value, where: tuple(array(value, where))
    checks = [check_of(arg) for arg in args]

    def check(value: Any, where: Where) -> Any:
        if type(value) is not list or len(value) != len(checks):
            raise Misfit(where, f" is an array of {len(checks)}")
        return tuple(
            item if one is None else one(item, (where, index))
            for index, (one, item) in enumerate(zip(checks, value, strict=True))
        )

    return check


def _object(inner: Check) -> Check:
    def check(value: Any, where: Where) -> Any:
        if type(value) is not dict:
            raise _wrong(where, "an object", value)
        if inner is None:
            return value
        return {key: inner(item, (where, key)) for key, item in value.items()}

    return check


# -- classes -----------------------------------------------------------------------------------------------------------


def _class(cls: type) -> Check:
    if issubclass(cls, enum.Enum):
        return _one_of([(member.value, member) for member in cls])
    if is_typeddict(cls):
        hints = typing.get_type_hints(cls, include_extras=True)
        return _fields(hints, required_members(cls, hints), dict)
    if hasattr(cls, "__struct_fields__") and "msgspec" in sys.modules:
        return _made(functools.partial(sys.modules["msgspec"].convert, str_keys=True), cls)
    if hasattr(cls, "model_validate"):
        return _made(lambda value, cls: cls.model_validate(value), cls)
    if dataclasses.is_dataclass(cls):
        hints = typing.get_type_hints(cls, include_extras=True)
        members = {field.name: hints[field.name] for field in dataclasses.fields(cls) if field.init}
        return _fields(members, required_members(cls, hints), cls)
    raise TypeError(f"no event brings {cls.__name__}")


def required_members(cls: Any, hints: Mapping[str, Any]) -> frozenset[str]:
    """Which members an object has to have, of those of a TypedDict or dataclass with these type hints."""
    if dataclasses.is_dataclass(cls):
        missing = dataclasses.MISSING
        fields = [field for field in dataclasses.fields(cls) if field.init]
        return frozenset(each.name for each in fields if each.default is missing and each.default_factory is missing)
    # Where annotations are text, a TypedDict itself does not see these.
    said = {name: get_origin(hint) for name, hint in hints.items()}
    return frozenset(
        name
        for name in hints
        if said[name] is typing.Required or (name in cls.__required_keys__ and said[name] is not typing.NotRequired)
    )


def _fields(hints: Mapping[str, Any], required: frozenset[str], cls: Callable[..., Any]) -> Check:
    """An object with these members, and no others, of which `cls` is made."""
    checks = {name: check_of(hint) for name, hint in hints.items()}

    def check(value: Any, where: Where) -> Any:
        if type(value) is not dict:
            raise _wrong(where, "an object", value)
        for name in value:
            if name not in checks:
                raise Misfit(where, f" has no member {str(name)[:SHOWN]!r}")
        for name in checks:
            if name not in value and name in required:
                raise Misfit((where, name), " is missing")
        members = {
            name: item if (one := checks[name]) is None else one(item, (where, name)) for name, item in value.items()
        }
        try:
            return cls(**members)
        except (TypeError, ValueError) as error:  # of __post_init__, which may repeat what has come
            raise Misfit(where, f": {str(error)[:LONGEST]}") from None

    return check


def _made(make: Callable[[Any, Any], Any], cls: type) -> Check:
    """What a package makes of an object; its errors say what is wrong."""

    def check(value: Any, where: Where) -> Any:
        try:
            return make(value, cls)
        except ValueError as error:  # of which both packages' errors are
            raise Misfit(where, f": {_told(error)}") from None

    return check


def _told(error: Any) -> str:
    """What a package's error says. pydantic's says more than anybody else should hear, and of each member that is
    wrong: there may be one for every two bytes that have come."""
    if not hasattr(error, "errors"):
        return str(error)[:LONGEST]
    count = error.error_count()
    if count > MOST_TOLD:
        return f"it is wrong in {count} places"
    return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())[:LONGEST]
