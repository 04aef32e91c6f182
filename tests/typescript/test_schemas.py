"""JSON schemas as types: each word that packages write, by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from realtime.typescript.schemas import Definition, Schemas
from realtime.typescript.text import NAME


def anything() -> str:
    """The type of what nothing is said of."""
    return "Value"


def noting(found: list[Definition]) -> Callable[[Definition], str]:
    """Names what it is asked for by its name, and notes it down."""

    def named(definition: Definition) -> str:
        found.append(definition)
        return definition.name

    return named


def form(schema: Any) -> str:
    """The type of a member."""
    schemas = Schemas({"type": "object", "properties": {"it": schema}}, "Root", anything)
    asked: list[Definition] = []
    schemas.root(noting(asked))
    body = schemas.body(asked[0], noting(asked))
    assert body.startswith(f"type {NAME} = {{\n  it?: ")
    return body.removeprefix(f"type {NAME} = {{\n  it?: ").removesuffix(";\n};\n")


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({}, "Value"),
        (True, "Value"),
        ({"title": "Anything"}, "Value"),
        ({"type": "integer", "minimum": 0}, "number"),
        ({"type": "number"}, "number"),
        ({"type": "boolean"}, "boolean"),
        ({"type": "null"}, "null"),
        ({"type": "string", "format": "date-time"}, "string"),
        ({"type": "string", "format": "binary"}, "ArrayBuffer | ArrayBufferView"),
        ({"type": "string", "contentEncoding": "base64"}, "ArrayBuffer | ArrayBufferView"),
        ({"type": ["string", "null"]}, "string | null"),
        ({"const": "a"}, '"a"'),
        ({"enum": ["a", 1, None]}, '"a" | 1 | null'),
        ({"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "number"}]}, "string | number"),
        ({"oneOf": [{"type": "string"}, {}]}, "Value"),
        ({"allOf": [{"type": "string"}, {"enum": ["a", "b"]}]}, '(string) & ("a" | "b")'),
        ({"type": "array"}, "readonly Value[]"),
        ({"type": "array", "items": {"type": "string"}}, "readonly string[]"),
        ({"type": "array", "items": {"enum": ["a", "b"]}, "uniqueItems": True}, 'readonly ("a" | "b")[]'),
        ({"type": "array", "prefixItems": [{"const": 1}, {}], "minItems": 2, "maxItems": 2}, "readonly [1, Value]"),
        ({"type": "array", "prefixItems": [{"const": 1}, {"const": 2}], "minItems": 1}, "readonly [1, (2)?]"),
        ({"type": "array", "prefixItems": [{}], "minItems": 1, "items": False}, "readonly [Value]"),
        (
            {"type": "array", "prefixItems": [{}], "minItems": 1, "items": {"type": "null"}},
            "readonly [Value, ...null[]]",
        ),
        ({"type": "array", "prefixItems": [{}], "minItems": 1, "maxItems": 3}, "readonly [Value, ...Value[]]"),
        ({"type": "object"}, "{ readonly [member: string]: Value }"),
        ({"type": "object", "additionalProperties": {"type": "null"}}, "{ readonly [member: string]: null }"),
        (
            {"type": "object", "properties": {"a b": {}, "c": {"const": True}}, "required": ["c"]},
            '{ "a b"?: Value; c: true; }',
        ),
    ],
    ids=str,
)
def test_each_word(schema: Any, told: str) -> None:
    assert form(schema) == told


def test_references() -> None:
    schemas = Schemas(
        {
            "$ref": "#/$defs/a",
            "$defs": {
                "a": {"type": "object", "properties": {"b": {"$ref": "#/$defs/b"}, "a": {"$ref": "#/$defs/a"}}},
                "b": {"title": "The other", "type": "array", "items": {"$ref": "#/$defs/a"}, "default": {"$ref": "x"}},
            },
        },
        "Root",
        anything,
    )
    found: list[Definition] = []
    named = noting(found)
    assert schemas.root(named) == "a"
    assert schemas.body(found[0], named) == f"type {NAME} = {{\n  b?: The other;\n  a?: a;\n}};\n"
    assert found[2] == found[0]
    assert schemas.body(found[1], named) == f"type {NAME} = readonly a[];\n"


def test_what_is_the_same_by_name_alone() -> None:
    """A class is known by all that is said of it, so that two of one name are two."""

    def definition(inner: str) -> Definition:
        schemas = Schemas(
            {
                "type": "array",
                "items": {"$ref": "#/$defs/Inner"},
                "$defs": {"Inner": {"type": inner}, "Unused": {"type": inner}},
            },
            "Outer",
            anything,
        )
        found: list[Definition] = []
        schemas.root(noting(found))
        return found[0]

    assert definition("string") == definition("string")
    assert definition("string") != definition("null")
    assert definition("string").name == definition("null").name == "Outer"


def test_a_reference_to_elsewhere() -> None:
    schemas = Schemas({"type": "array", "items": {"$ref": "https://example.org/schema"}}, "Root", anything)
    with pytest.raises(ValueError, match=r"^its JSON schema refers to 'https://example.org/schema'$"):
        schemas.root(lambda definition: definition.name)


def test_a_type_that_nobody_knows() -> None:
    with pytest.raises(ValueError, match=r"^its JSON schema has the type 'file'$"):
        form({"type": "file"})
