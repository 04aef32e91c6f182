"""The TypeScript compiler of the JavaScript client, strict, over files that a test has written."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from ..patience import PATIENCE

__all__ = ["Complaint", "compiled", "needs_compiler"]

CLIENT = Path(__file__).parents[2] / "client-js"
COMPILER = CLIENT / "node_modules" / "typescript" / "lib" / "typescript.js"

needs_compiler = pytest.mark.skipif(
    shutil.which("node") is None or not COMPILER.is_file(), reason="needs Node, and the client's packages: sh .ci/node"
)

_SCRIPT = """
import ts from "%(compiler)s";
const options = {
  strict: true, exactOptionalPropertyTypes: true, noEmit: true, types: [], skipDefaultLibCheck: true,
  target: ts.ScriptTarget.ES2022, lib: ["lib.es2022.d.ts", "lib.dom.d.ts"],
  module: ts.ModuleKind.NodeNext, moduleResolution: ts.ModuleResolutionKind.NodeNext,
};
const found = ts.getPreEmitDiagnostics(ts.createProgram(%(files)s, options)).map((one) => [
  one.file ? one.file.fileName.split("/").pop() : "",
  one.file ? one.file.getLineAndCharacterOfPosition(one.start).line + 1 : 0,
  ts.flattenDiagnosticMessageText(one.messageText, " "),
]);
console.log(JSON.stringify(found));
"""


class Complaint(NamedTuple):
    """What the compiler says."""

    file: str
    line: int  # from 1
    text: str


def compiled(folder: Path, files: Mapping[str, str]) -> list[Complaint]:
    """Compiles files, which may import the JavaScript client and each other; what is wrong with them."""
    packages = folder / "node_modules"
    if not packages.exists():
        packages.mkdir()
        (packages / "aiohttp-realtime").symlink_to(CLIENT)
    (folder / "package.json").write_text('{"type": "module"}', "utf-8")
    for name, text in files.items():
        (folder / name).write_text(text, "utf-8")
    script = _SCRIPT % {"compiler": COMPILER.as_uri(), "files": json.dumps([str(folder / name) for name in files])}
    (folder / "compile.mjs").write_text(script, "utf-8")
    done = subprocess.run(
        ["node", "compile.mjs"], cwd=folder, capture_output=True, text=True, timeout=4 * PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr
    return [Complaint(*one) for one in json.loads(done.stdout)]
