"""No file of the package is longer than 450 lines, and no class than 300: what grows beyond that is two things."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "realtime"
MAX_FILE = 450
MAX_CLASS = 300


def too_long(source: str) -> list[str]:
    """What of a file is too long, and how long it is; nothing, if all is well."""
    length = len(source.splitlines())
    found = [f"{length} lines"] if length > MAX_FILE else []
    if length <= MAX_CLASS:
        return found
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef):
            assert node.end_lineno is not None
            begin = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            length = node.end_lineno - begin + 1
            if length > MAX_CLASS:
                found.append(f"class {node.name}: {length} lines")
    return found


def test_no_file_and_no_class_is_too_long() -> None:
    sources = {str(path.relative_to(PACKAGE)): path.read_text("utf-8") for path in PACKAGE.rglob("*.py")}
    assert "core/machine.py" in sources
    assert {name: found for name, source in sources.items() if (found := too_long(source))} == {}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("\n" * MAX_FILE, []),
        ("\n" * (MAX_FILE + 1), ["451 lines"]),
        ("class A:" + "\n    x = 1" * (MAX_CLASS - 1), []),
        ("@final\nclass A:" + "\n    x = 1" * (MAX_CLASS - 1), ["class A: 301 lines"]),
        ("class A:\n    class B:" + "\n        x = 1" * MAX_CLASS, ["class A: 302 lines", "class B: 301 lines"]),
    ],
)
def test_what_is_too_long_is_found(source: str, found: list[str]) -> None:
    assert too_long(source) == found
