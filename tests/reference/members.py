"""What a public class offers: its methods and properties by inspection, its attributes by reading its source."""

from __future__ import annotations

import ast
import enum
import inspect
import re
import textwrap
from collections.abc import Iterator
from functools import cached_property
from typing import Any, NamedTuple

__all__ = ["Member", "members", "signature"]

# What a type is called that only the sources name.
SPELT = {
    "Message": "str | bytes | bytearray | memoryview",
    "Receiver": "Session",
    "UnderTest": "web.Application | Server | TestServer",
    "OnFull": 'Literal["wait", "drop_oldest", "close"]',
    "OnRate": 'Literal["slow", "close"]',
    "EventKind": 'Literal["opened", "request", "answered", "fault", "copy", "bad", "closed"]',
    "Emission": "tuple[str, *tuple[Any, ...]]",
    "Match": "Callable[[ProxiedRequest], bool]",
    "Direction": 'Literal["to_client", "to_server", "both"]',
    "EndOrHang": 'Literal["fin", "rst", "hang"]',
    "End": 'Literal["fin", "rst"]',
}
_SPELT = re.compile(r"\b(" + "|".join(SPELT) + r")\b")


class Member(NamedTuple):
    """One thing that a class has."""

    name: str
    declaration: str  # with types
    doc: str
    owner: type  # the class whose source it is in


def members(cls: type) -> list[Member]:
    """All that a class offers, in the order of its sources, the class's own first."""
    found: dict[str, Member] = {}
    for owner in cls.__mro__:
        if owner.__module__.startswith("realtime"):
            for member in _own(owner):
                found.setdefault(member.name, member)
    return list(found.values())


def signature(callable_: Any) -> str:
    """The parameters of something, and what it returns."""
    try:
        found = inspect.signature(callable_)
    except ValueError:  # an exception without a constructor of its own
        return "(message: str)"
    parameters = [each for each in found.parameters.values() if each.name not in ("self", "unknown")]
    result = inspect.Signature.empty if inspect.isclass(callable_) else found.return_annotation
    return _spelt(str(found.replace(parameters=parameters, return_annotation=result)), quoted=True)


def _spelt(text: str, *, quoted: bool = False) -> str:
    if quoted:  # annotations are text: they stand in quotes behind ":" and "->"
        text = re.sub(r"(: |-> )(['\"])((?:(?!\2)[^\\]|\\.)*)\2(?=[ ,)]|$)", r"\1\3", text).replace("'", '"')
        text = re.sub(r'ForwardRef\("([^"]*)"\)', r"\1", text)  # in what a NamedTuple makes
    return _SPELT.sub(lambda match: SPELT[match[1]], text)


def _own(cls: type) -> Iterator[Member]:
    """What the source of one class has."""
    source = textwrap.dedent(inspect.getsource(cls))
    (tree,) = ast.parse(source).body
    assert isinstance(tree, ast.ClassDef)
    lines = source.splitlines()
    for place, node in enumerate(tree.body):
        match node:
            case ast.FunctionDef(name="__init__"):
                yield from _assigned(node, cls, lines)
            case ast.FunctionDef() | ast.AsyncFunctionDef() if _is_public(node):
                yield _function(node, cls)
            case ast.AnnAssign(target=ast.Name(id=name)) if not name.startswith("_"):
                default = "" if node.value is None else f" = {ast.unparse(node.value)}"
                doc = _doc_behind(tree.body, place) or _comment(lines, node)
                yield Member(name, f"{name}: {_spelt(ast.unparse(node.annotation))}{default}", doc, cls)
            case ast.Assign(targets=[ast.Name(id=name)]) if issubclass(cls, enum.Enum):
                yield Member(name, f"{name} = {ast.unparse(node.value)}", _comment(lines, node), cls)


def _is_public(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    special = (
        node.name.startswith("__")
        and node.name.endswith("__")
        and node.name not in ("__reduce__", "__repr__", "__setattr__")
    )
    return (special and ast.get_docstring(node) is not None) or not node.name.startswith("_")


def _function(node: ast.FunctionDef | ast.AsyncFunctionDef, cls: type) -> Member:
    doc = inspect.cleandoc(ast.get_docstring(node) or "")
    if isinstance(vars(cls)[node.name], property | cached_property):
        result = "Any" if node.returns is None else _spelt(ast.unparse(node.returns))
        return Member(node.name, f"{node.name}: {result}", doc, cls)
    kind = "async " if isinstance(node, ast.AsyncFunctionDef) else ""
    kind = "classmethod " if isinstance(vars(cls)[node.name], classmethod) else kind
    return Member(node.name, f"{kind}{node.name}{signature(getattr(cls, node.name))}", doc, cls)


def _assigned(init: ast.FunctionDef, cls: type, lines: list[str]) -> Iterator[Member]:
    """The attributes that __init__ gives an object."""
    given = {each.arg: each.annotation for each in (*init.args.args, *init.args.kwonlyargs)}
    for node in ast.walk(init):
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if not isinstance(node, ast.Assign | ast.AnnAssign) or not isinstance(target, ast.Attribute):
            continue
        if target.attr.startswith("_") or ast.unparse(target.value) != "self":
            continue
        annotation: ast.expr | None = node.annotation if isinstance(node, ast.AnnAssign) else None
        if annotation is None and isinstance(node.value, ast.Name):
            annotation = given.get(node.value.id)
        if annotation is not None:
            kind = f": {_spelt(ast.unparse(annotation))}"
        elif isinstance(node.value, ast.Constant):
            kind = f": {type(node.value.value).__name__}"
        else:
            kind = f": {_made(node.value)}"
        yield Member(target.attr, target.attr + kind, _comment(lines, node), cls)


def _made(value: ast.expr | None) -> str:
    """The type of what an expression makes, where it says so."""
    if isinstance(value, ast.IfExp):
        return _made(value.body)
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name):
        return value.func.id
    return type(value).__name__.lower()


def _doc_behind(body: list[ast.stmt], place: int) -> str:
    behind = body[place + 1] if place + 1 < len(body) else None
    if isinstance(behind, ast.Expr) and isinstance(behind.value, ast.Constant) and isinstance(behind.value.value, str):
        return inspect.cleandoc(behind.value.value)
    return ""


def _comment(lines: list[str], node: ast.stmt) -> str:
    """The comment behind a statement, or above it, as a sentence."""
    said = _said(lines, node).removesuffix(".")
    named = "_" in said.partition(" ")[0]  # a setting's name begins it
    return said and (said if named else said[0].upper() + said[1:]) + "."


def _said(lines: list[str], node: ast.stmt) -> str:
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    behind = lines[node.end_lineno - 1].encode()[node.end_col_offset :].decode().strip()
    if behind.startswith("# ") and "noqa" not in behind:
        return behind[2:]
    above: list[str] = []
    for line in reversed(lines[: node.lineno - 1]):
        if not line.strip().startswith("# "):
            break
        above.insert(0, line.strip()[2:])
    return " ".join(above)
