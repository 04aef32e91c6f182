"""How TypeScript is written: names, literals, unions, lists. Knows no Python types."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator

__all__ = [
    "BYTES_READ",
    "BYTES_WRITTEN",
    "NAME",
    "argument_names",
    "camel",
    "comment",
    "literal",
    "many",
    "member",
    "record",
    "row",
    "type_name",
    "union",
    "unique",
]

ANYTHING = ("any", "unknown", "Value")  # a union with one of these is nothing else
BYTES_WRITTEN = ("ArrayBuffer", "ArrayBufferView")  # what a page may give where bytes are wanted
BYTES_READ = ("ArrayBuffer",)  # what it gets
NAME = "\x02"  # stands for the name of something, in its own declaration

# Neither a parameter nor a type is called so.
_RESERVED = re.compile(
    r"arguments|await|break|case|catch|class|const|continue|debugger|default|delete|do|else|enum|eval|export|"
    r"extends|false|finally|for|function|if|implements|import|in|instanceof|interface|let|new|null|package|"
    r"private|protected|public|return|static|super|switch|this|throw|true|try|typeof|var|void|while|with|yield"
)
_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
_WORD = re.compile(r"[^\W_]+")
_SINGLE = re.compile(r'[\w.\x01]+(?:\[\])*|\[[^\[\]]*\]|"[^"\\]*"')


def literal(value: str | int | float | bool | None) -> str:
    """A value as its own type."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return text if text.isprintable() else json.dumps(value)


def comment(text: str) -> str:
    """A text in a comment of one line."""
    return (text if text.isprintable() else literal(text)).replace("*/", "*\\/")


def member(name: str) -> str:
    """The name of a member of an interface: in quotes, unless it can be a method's without any."""
    return name if _NAME.fullmatch(name) and name not in ("new", "constructor") else literal(name)


def union(alternatives: Iterable[str]) -> str:
    """One of several types."""
    different = list(dict.fromkeys(alternatives))
    for one in ANYTHING:
        if one in different:
            return one
    return " | ".join(different) or "never"


def many(item: str, *, readonly: bool) -> str:
    """A list of any length."""
    inner = item if _SINGLE.fullmatch(item) else f"({item})"
    return f"{'readonly ' if readonly else ''}{inner}[]"


def row(items: Iterable[str], *, readonly: bool) -> str:
    """A list of which each item has a type of its own."""
    return f"{'readonly ' if readonly else ''}[{', '.join(items)}]"


def record(lines: Iterable[str]) -> str:
    """The declaration of a type with these members, each a line; with none, it is the empty object's.

    A type and no interface: TypeScript takes an interface for no `Json` and no `Value`, which `auth` and arguments are.
    """
    members = "".join(lines) or "  [member: string]: never;\n"
    return f"type {NAME} = {{\n{members}}};\n"


def unique(wanted: str, taken: set[str]) -> str:
    """The name, or the first with a number behind it that is not taken; it is, from now on."""
    name, number = wanted, 1
    while name in taken:
        number += 1
        name = f"{wanted}{number}"
    taken.add(name)
    return name


def camel(text: str) -> str:
    """The words of a text as one name, which may be empty, or begin with a digit."""
    return "".join(word[0].upper() + word[1:] for word in _WORD.findall(text))


def type_name(text: str) -> str:
    """A name for a type that is called so elsewhere: the same, if it can be."""
    name = text if text.isidentifier() else camel(text) or "Type"
    return f"_{name}" if name[0].isdigit() or _RESERVED.fullmatch(name) else name


def argument_names(names: Iterable[str]) -> Iterator[str]:
    """The names of parameters as TypeScript may have them."""
    taken = set(names := list(names))
    for name in names:
        shown = name
        while _RESERVED.fullmatch(shown) or (shown != name and shown in taken):
            shown += "_"
        taken.add(shown)
        yield shown
