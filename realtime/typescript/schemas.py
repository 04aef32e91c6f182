"""A JSON schema as a type of TypeScript: packages tell by one what their classes are made of, when a page writes it.

https://json-schema.org/draft/2020-12, as far as msgspec and pydantic write it. What a schema says beyond types
(lengths, ranges, patterns) TypeScript has no words for: the server checks it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from .text import BYTES_WRITTEN, NAME, literal, many, member, record, row, union

__all__ = ["Definition", "Schemas"]


class Definition(NamedTuple):
    """A class in a schema, known by all that the schema says of it."""

    name: str
    said: str


Named = Callable[[Definition], str]

_REFERENCE = re.compile(r"#/\$defs/(.*)")
_PLAIN: dict[object, str] = {"integer": "number", "number": "number", "boolean": "boolean", "null": "null"}


class Schemas:
    """The schema of one class. `anything` is asked for the type of what it says nothing of. Where a class is named in
    it, a function is asked for its type; the declaration of that makes body()."""

    def __init__(self, schema: Mapping[str, Any], name: str, anything: Callable[[], str]) -> None:
        self._definitions: dict[str, Any] = dict(schema.get("$defs", {}))
        self._anything = anything
        if "$ref" in schema:
            self._root = self._name_of(schema["$ref"])
        else:
            self._root = name
            self._definitions[name] = {key: value for key, value in schema.items() if key != "$defs"}

    def root(self, named: Named) -> str:
        """The type of the class. Raises ValueError for a schema that can't be said."""
        return named(self._definition(self._root))

    def body(self, definition: Definition, named: Named) -> str:
        """The declaration of one of the classes. Raises ValueError for a schema that can't be said."""
        schema = self._definitions[json.loads(definition.said)[0]]
        if schema.get("type") == "object" and "properties" in schema:
            return record(self._members(schema, named))
        return f"type {NAME} = {self._type(schema, named)};\n"

    def _definition(self, name: str) -> Definition:
        reached, ahead = {}, [name]
        while ahead:
            each = ahead.pop()
            if each not in reached:
                reached[each] = self._definitions[each]
                ahead += [self._name_of(found) for found in _references(reached[each])]
        title = str(self._definitions[name].get("title", name))
        return Definition(title, json.dumps([name, reached], sort_keys=True, default=repr))

    @staticmethod
    def _name_of(reference: str) -> str:
        found = _REFERENCE.fullmatch(reference)
        if found is None:
            raise ValueError(f"its JSON schema refers to {reference!r}")
        return found[1]

    # -- types ---------------------------------------------------------------------------------------------------------

    def _members(self, schema: Mapping[str, Any], named: Named) -> list[str]:
        required = schema.get("required", ())
        return [
            f"  {member(name)}{'' if name in required else '?'}: {self._type(inner, named)};\n"
            for name, inner in schema["properties"].items()
        ]

    def _type(self, schema: Any, named: Named) -> str:
        if schema is True or not isinstance(schema, Mapping):
            return self._anything()
        if "$ref" in schema:
            return named(self._definition(self._name_of(schema["$ref"])))
        if "const" in schema:
            return literal(schema["const"])
        if "enum" in schema:
            return union(map(literal, schema["enum"]))
        for several in ("anyOf", "oneOf"):
            if several in schema:
                return union(self._type(one, named) for one in schema[several])
        if "allOf" in schema:
            return " & ".join(f"({self._type(one, named)})" for one in schema["allOf"])
        kinds = schema.get("type")
        if isinstance(kinds, list):
            return union(self._kind(kind, schema, named) for kind in kinds)
        return self._kind(kinds, schema, named)

    def _kind(self, kind: object, schema: Mapping[str, Any], named: Named) -> str:
        if kind == "string":
            is_bytes = schema.get("contentEncoding") == "base64" or schema.get("format") == "binary"
            return union(BYTES_WRITTEN) if is_bytes else "string"
        if kind == "array":
            return self._list(schema, named)
        if kind == "object":
            return self._object(schema, named)
        if kind is None:
            return self._anything()
        if kind not in _PLAIN:
            raise ValueError(f"its JSON schema has the type {kind!r}")
        return _PLAIN[kind]

    def _list(self, schema: Mapping[str, Any], named: Named) -> str:
        if "prefixItems" not in schema:
            return many(self._type(schema.get("items", True), named), readonly=True)
        least = schema.get("minItems", 0)
        first = [self._type(item, named) for item in schema["prefixItems"]]
        items = [item if index < least else f"({item})?" for index, item in enumerate(first)]
        if schema.get("maxItems", 0) > len(items) or ("maxItems" not in schema and "items" in schema):
            rest = schema.get("items", True)
            if rest is not False:
                items.append(f"...{many(self._type(rest, named), readonly=False)}")
        return row(items, readonly=True)

    def _object(self, schema: Mapping[str, Any], named: Named) -> str:
        if "properties" in schema:
            return f"{{ {' '.join(line.strip() for line in self._members(schema, named))} }}"
        return f"{{ readonly [member: string]: {self._type(schema.get('additionalProperties', True), named)} }}"


def _references(schema: Any) -> list[str]:
    """All that a schema refers to."""
    if isinstance(schema, Mapping):
        own = [schema["$ref"]] if isinstance(schema.get("$ref"), str) else []
        inside = [inner for key, inner in schema.items() if key not in ("default", "examples", "const", "enum")]
        return own + [found for inner in inside for found in _references(inner)]
    if isinstance(schema, list):
        return [found for inner in schema for found in _references(inner)]
    return []
