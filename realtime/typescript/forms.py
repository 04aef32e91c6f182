"""One annotation as a type of TypeScript, and the types with names that it needs.

Which type it is depends on who writes the value. What a handler takes is what `events.annotations` lets through; what
the server sends is what JSON makes of it, and there no class has a form.
"""

from __future__ import annotations

import dataclasses
import enum
import re
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NoReturn, Union, get_args, get_origin

from ..events.annotations import ANY_TUPLE, bare, is_alias, is_typeddict, required_members, unpacked
from .schemas import Definition, Schemas
from .text import BYTES_READ, BYTES_WRITTEN, NAME, literal, many, member, record, row, type_name, union, unique

__all__ = ["Forms", "NoForm", "Side"]


class NoForm(TypeError):
    """What TypeScript has no type for, or what cannot travel: why."""


class Side(enum.Enum):
    """Who writes a value, and what becomes of it."""

    TAKEN = "an argument of a handler: a page writes it, and what the annotation says is made of it"
    ANSWERED = "what a page answers to a call: the application gets it as JSON has it"
    SENT = "what the server writes: an acknowledgement, or an argument of an event that it sends"

    @property
    def of_page(self) -> bool:
        """Whether a page writes it."""
        return self is not Side.SENT


_PLAIN: dict[type, Sequence[str]] = {
    str: ("string",),
    bool: ("boolean",),
    int: ("number",),
    float: ("number",),
    type(None): ("null",),
}
_JSON = (str, int, float, bool, type(None))
# A type's name, as long as nobody knows what it will be: which thing's it is, and whether a page writes that.
_MARK = re.compile("\x01(\\d+)_([ps])\x01")


class Forms:
    """The types of annotations, and the types with names that these need. `taken`: names that none of them can have."""

    def __init__(self, taken: Iterable[str]) -> None:
        self.imported: set[str] = set()  # of what the JavaScript client declares
        self._taken = set(taken)
        self._things: dict[object, tuple[int, str]] = {}  # what has a name: its number, and what it is called
        self._bodies: dict[tuple[int, Side], str] = {}  # what stands behind `export `, but for marks

    def of(self, annotation: Any, side: Side) -> str:
        """The type of an annotation, with marks in it: see finish(). Raises NoForm."""
        return union(self._alternatives(annotation, side))

    def anything(self, side: Side) -> str:
        """The type of what nobody has said anything of."""
        if not side.of_page:
            return "any"
        self.imported.add("Value")
        return "Value"

    def _alternatives(self, annotation: Any, side: Side) -> Sequence[str]:
        annotation = bare(annotation, aliases=False)
        if is_alias(annotation):
            return [self._named(annotation, side, annotation.__name__, lambda: self._alias(annotation, side))]
        if annotation is None:
            return ["null"]
        if isinstance(annotation, type) and annotation in _PLAIN:
            return _PLAIN[annotation]
        if annotation in (Any, object):
            return [self.anything(side)]
        if annotation is bytes or (annotation in (bytearray, memoryview) and not side.of_page):
            return BYTES_WRITTEN if side.of_page else BYTES_READ
        origin, args = get_origin(annotation), get_args(annotation)
        if origin in (Union, types.UnionType):
            return [one for arg in args for one in self._alternatives(arg, side)]
        if origin is Literal:
            return [self._literal(value, side) for value in args]
        if annotation in (list, Sequence) or origin in (list, Sequence):
            return [self._many(args, side)]
        if annotation is tuple or origin is tuple:
            if annotation in ANY_TUPLE or args[1:] == (Ellipsis,):
                return [self._many(args, side)]
            return [self._row(args, side)]
        if annotation in (dict, Mapping) or origin in (dict, Mapping):
            return [self._mapping(args, side)]
        if annotation in (NoReturn, typing.Never):
            return []
        if isinstance(annotation, type):
            return self._class(annotation, side)
        raise NoForm(f"{_shown(annotation)} has no form in JSON")

    def _literal(self, value: Any, side: Side) -> str:
        if isinstance(value, enum.Enum):
            return self._member(value, side)
        if type(value) not in _JSON:
            raise NoForm(f"JSON has no {value!r}")
        return literal(value)

    def _many(self, args: tuple[Any, ...], side: Side) -> str:
        return many(self.of(args[0], side) if args else self.anything(side), readonly=side.of_page)

    def _row(self, args: tuple[Any, ...], side: Side) -> str:
        if any(map(unpacked, args)):
            raise NoForm("a tuple in which another is unpacked is nothing that can be checked: write tuple[…, ...]")
        return row([self.of(arg, side) for arg in args], readonly=side.of_page)

    def _mapping(self, args: tuple[Any, ...], side: Side) -> str:
        kind, item = ("string", self.anything(side)) if not args else ("", self.of(args[1], side))
        if args:
            key = bare(args[0])
            kind = "number" if key is int and not side.of_page else "string" if key in (str, Any) else ""
            if not kind:
                raise NoForm(f"the keys of JSON's objects are str, not {_shown(key)}")
        return f"{{ {'readonly ' if side.of_page else ''}[member: {kind}]: {item} }}"

    # -- classes -------------------------------------------------------------------------------------------------------

    def _class(self, cls: type, side: Side) -> Sequence[str]:
        if issubclass(cls, enum.Enum):
            return [self._member(member, side) for member in cls]
        if is_typeddict(cls):
            return [self._named(cls, side, cls.__name__, lambda: self._record(cls, side))]
        schema = _schema_of(cls)
        if schema is None and not dataclasses.is_dataclass(cls):
            raise NoForm(f"{cls.__qualname__} has no form in JSON")
        if side is not Side.TAKEN:
            raise NoForm(
                f"{cls.__qualname__} is made of what comes, and nothing else: write dict, or the TypedDict that"
                " says what is in it"
            )
        if schema is None:
            return [self._named(cls, side, cls.__name__, lambda: self._record(cls, side))]
        try:
            found = schema()
        except Exception as error:  # a class of theirs that has no schema
            raise NoForm(f"{cls.__qualname__} has no JSON schema: {error}") from None
        return [self._by_schema(found, cls.__name__)]

    def _member(self, value: enum.Enum, side: Side) -> str:
        """One of an enumeration."""
        if type(value.value) not in _JSON:
            raise NoForm(f"JSON has no {value.value!r}, which {value} stands for")
        if side is not Side.TAKEN and not isinstance(value, (str, int, float)):
            raise NoForm(f"{value} is not written as JSON: make {type(value).__name__} a StrEnum, or an IntEnum")
        return literal(value.value)

    def _record(self, cls: Any, side: Side) -> str:
        """What stands behind the name of a TypedDict's type, or a dataclass's."""
        try:
            hints = typing.get_type_hints(cls, include_extras=True)
        except Exception as error:
            raise NoForm(f"what is in {cls.__qualname__} can't be found out: {error}") from None
        required = required_members(cls, hints)
        if dataclasses.is_dataclass(cls):
            hints = {field.name: hints[field.name] for field in dataclasses.fields(cls) if field.init}
        lines = []
        for name, hint in hints.items():
            try:
                shown = self.of(hint, side)
            except NoForm as error:
                raise NoForm(f"{cls.__qualname__}.{name}: {error}") from None
            lines.append(f"  {member(name)}{'' if name in required else '?'}: {shown};\n")
        return record(lines)

    def _alias(self, alias: Any, side: Side) -> str:
        return f"type {NAME} = {self.of(alias.__value__, side)};\n"

    def _by_schema(self, schema: Mapping[str, Any], name: str) -> str:
        """The type of a class of whose inside a package tells by a JSON schema."""

        def named(definition: Definition) -> str:
            return self._named(definition, Side.TAKEN, definition.name, lambda: schemas.body(definition, named))

        try:
            schemas = Schemas(schema, name, lambda: self.anything(Side.TAKEN))
            return schemas.root(named)
        except ValueError as error:
            raise NoForm(f"{name}: {error}") from None

    # -- names ---------------------------------------------------------------------------------------------------------

    def _named(self, thing: object, side: Side, name: str, body: Callable[[], str]) -> str:
        """The mark of something that has a name."""
        number, _ = self._things.setdefault(thing, (len(self._things), type_name(name)))
        if (number, side) not in self._bodies:
            self._bodies[number, side] = ""  # it may be in itself
            try:
                self._bodies[number, side] = body()
            except NoForm:
                del self._bodies[number, side]
                raise
        return f"\x01{number}_{'p' if side.of_page else 's'}\x01"

    def finish(self, text: str) -> str:
        """The text, with names in the place of marks, and behind it what has these names."""
        bodies: dict[tuple[str, str], str] = {}
        for (number, side), body in self._bodies.items():
            bodies.setdefault((str(number), "p" if side.of_page else "s"), body)
        apart = _apart(bodies)
        names = self._choose_names(bodies, apart)

        def named(text: str) -> str:
            return _MARK.sub(lambda found: names[found[1], found[2]], text)

        parts = {names[key]: named(body).replace(NAME, names[key], 1) for key, body in bodies.items()}
        return named(text) + "".join(f"\nexport {part}" for part in parts.values())

    def _choose_names(self, bodies: Mapping[tuple[str, str], str], apart: set[str]) -> dict[tuple[str, str], str]:
        taken, names = set(self._taken), dict[tuple[str, str], str]()
        called = {str(number): name for number, name in self._things.values()}
        for number, who in sorted(bodies, key=lambda key: (int(key[0]), key[1] == "p")):
            if who == "p" and number not in apart and (number, "s") in names:
                names[number, who] = names[number, "s"]
                continue
            wanted = called[number] + ("Input" if who == "p" and number in apart else "")
            names[number, who] = unique(wanted, taken)
        return names


def _apart(bodies: Mapping[tuple[str, str], str]) -> set[str]:
    """The numbers of what is something else to write than to read: in itself, or in what it is made of."""
    both = {number for number, who in bodies if who == "p" and (number, "s") in bodies}

    def plain(text: str) -> str:
        return _MARK.sub(r"\1", text)

    apart = {number for number in both if plain(bodies[number, "p"]) != plain(bodies[number, "s"])}
    uses = {number: {found[1] for found in _MARK.finditer(bodies[number, "p"])} for number in both}
    while more := {number for number in both - apart if uses[number] & apart}:
        apart |= more
    return apart


def _schema_of(cls: Any) -> Callable[[], Mapping[str, Any]] | None:
    """What tells the JSON schema of a class of msgspec's or pydantic's; None of others."""
    if hasattr(cls, "__struct_fields__") and "msgspec" in sys.modules:
        return lambda: dict(sys.modules["msgspec"].json.schema(cls))
    if hasattr(cls, "model_validate"):
        return lambda: dict(cls.model_json_schema())
    return None


def _shown(annotation: Any) -> str:
    return annotation.__qualname__ if isinstance(annotation, type) else repr(annotation)
