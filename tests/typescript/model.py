"""The types that are written, read again: which values they allow, drawn by hypothesis, and whether one is allowed.

As far as forms and schemas write TypeScript, and no further. An object has no members but those of its type, as where
it is written in place. Bytes stand for what is binary.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

__all__ = ["UNDEFINED", "Read", "read_type", "read_types"]

UNDEFINED = object()

Values = st.SearchStrategy[Any]
_TOKEN = re.compile(r'\s*("(?:[^"\\]|\\.)*"|\.\.\.|[\w$-]+(?:\.\d+)?(?:e[+-]?\d+)?|[][{}()|?:;,&])')
JSON: Values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3) | st.binary(max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=4,
)


@dataclass
class Read:
    """A type: whether it allows a value, and values that it allows."""

    fits: Callable[[Any], bool]
    values: Values


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


_KNOWN = {
    "string": Read(lambda value: type(value) is str, st.text(max_size=3)),
    "number": Read(_is_number, st.integers(-9, 9)),
    "boolean": Read(lambda value: type(value) is bool, st.booleans()),
    "null": Read(lambda value: value is None, st.none()),
    "undefined": Read(lambda value: value is UNDEFINED, st.just(UNDEFINED)),
    "void": Read(lambda value: value is UNDEFINED, st.just(UNDEFINED)),
    "never": Read(lambda value: False, st.nothing()),
    "ArrayBuffer": Read(lambda value: type(value) is bytes, st.binary(max_size=2)),
    "ArrayBufferView": Read(lambda value: type(value) is bytes, st.binary(max_size=2)),
    "Value": Read(lambda value: True, JSON),
    "any": Read(lambda value: True, JSON),
}


class _Reader:
    def __init__(self, text: str, named: Callable[[str], Read]) -> None:
        self._tokens = _TOKEN.findall(text)
        assert "".join(self._tokens) == re.sub(r'("(?:[^"\\]|\\.)*")|\s', r"\1", text), text
        self._named = named

    def _peek(self) -> str:
        return self._tokens[0] if self._tokens else ""

    def _take(self, token: str) -> bool:
        if self._peek() != token:
            return False
        del self._tokens[0]
        return True

    def _need(self, token: str) -> None:
        assert self._take(token), f"{token} expected before {self._tokens[:5]}"

    def whole(self) -> Read:
        """All of the text."""
        found = self._union()
        assert not self._tokens, self._tokens
        return found

    def _union(self) -> Read:
        several = [self._many()]
        while self._take("|"):
            several.append(self._many())
        if len(several) == 1:
            return several[0]
        return Read(lambda value: any(one.fits(value) for one in several), st.one_of([one.values for one in several]))

    def _many(self) -> Read:
        self._take("readonly")
        found = self._one()
        while self._peek() == "[" and self._tokens[1] == "]":
            del self._tokens[:2]
            found = _array(found)
        return found

    def _one(self) -> Read:
        if self._take("("):
            found = self._union()
            self._need(")")
            return found
        if self._take("["):
            return self._row()
        if self._take("{"):
            return self._object()
        token = self._tokens.pop(0)
        if token in _KNOWN:
            return _KNOWN[token]
        if token in ("true", "false") or not re.match(r"[A-Za-z_]", token):
            return _literal(json.loads(token))
        return self._named(token)

    def _row(self) -> Read:
        items: list[Read] = []
        least = 0
        rest: Read | None = None
        while not self._take("]"):
            if self._take("..."):
                rest = self._many()
            else:
                items.append(self._union())
                if not self._take("?"):
                    least = len(items)
            self._take(",")

        def fits(value: Any) -> bool:
            if type(value) is not list or len(value) < least:
                return False
            own, others = value[: len(items)], value[len(items) :]
            if others and (rest is None or not rest.fits(others)):
                return False
            return all(item.fits(one) for item, one in zip(items, own, strict=False))

        values: Values = st.tuples(*(item.values for item in items)).map(list)
        if rest is not None:
            values = st.tuples(values, rest.values).map(lambda two: two[0] + two[1])
        return Read(fits, values)

    def _object(self) -> Read:
        members: dict[str, Read] = {}
        optional: set[str] = set()
        while not self._take("}"):
            self._take("readonly")
            if self._take("["):
                self._need("member")
                self._need(":")
                self._tokens.pop(0)
                self._need("]")
                self._need(":")
                found = _mapping(self._union())
                self._take(";")
                self._need("}")
                return found
            token = self._tokens.pop(0)
            name = json.loads(token) if token[0] == '"' else token
            if self._take("?"):
                optional.add(name)
            self._need(":")
            members[name] = self._union()
            self._need(";")
        return _members(members, optional)


def _literal(value: Any) -> Read:
    return Read(lambda other: other == value and isinstance(other, bool) == isinstance(value, bool), st.just(value))


def _array(item: Read) -> Read:
    return Read(
        lambda value: type(value) is list and all(item.fits(one) for one in value),
        st.deferred(lambda: st.lists(item.values, max_size=2)),
    )


def _mapping(item: Read) -> Read:
    return Read(
        lambda value: type(value) is dict and all(item.fits(one) for one in value.values()),
        st.deferred(lambda: st.dictionaries(st.text(max_size=2), item.values, max_size=2)),
    )


def _members(members: Mapping[str, Read], optional: set[str]) -> Read:
    def fits(value: Any) -> bool:
        return (
            type(value) is dict
            and value.keys() <= members.keys()
            and members.keys() - optional <= value.keys()
            and all(members[name].fits(one) for name, one in value.items())
        )

    needed = {name: one.values for name, one in members.items() if name not in optional}
    further = {name: one.values for name, one in members.items() if name in optional}
    return Read(fits, st.deferred(lambda: st.fixed_dictionaries(needed, optional=further)))


def read_type(text: str) -> Read:
    """A type that names no other."""
    return _Reader(text, _KNOWN.__getitem__).whole()


def read_types(text: str) -> dict[str, Read]:
    """All that a text exports, by name."""
    found: dict[str, Read] = {}
    parts: dict[str, str] = dict(re.findall(r"^export type (\w+) = (\{\n.*?^\});$", text, re.MULTILINE | re.DOTALL))
    parts |= dict(re.findall(r"^export type (\w+) = (.*);$", text, re.MULTILINE))

    def named(name: str) -> Read:
        if name not in found:
            inside = Read(lambda value: found[name].fits(value), st.deferred(lambda: found[name].values))
            if name in reading:
                return inside
            reading.add(name)
            found[name] = _Reader(parts[name], named).whole()
        return found[name]

    reading: set[str] = set()
    for name in parts:
        named(name)
    return found
