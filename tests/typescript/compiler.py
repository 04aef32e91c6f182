"""The TypeScript compiler of the JavaScript client, strict, over files that tests have written."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Self

import pytest

from ..patience import PATIENCE

__all__ = ["Compiler", "Complaint", "needs_compiler"]

CLIENT = Path(__file__).parents[2] / "client-js"
PATIENT = CLIENT / "test" / "patient.cjs"
COMPILER = CLIENT / "node_modules" / "typescript" / "lib" / "typescript.js"

needs_compiler = pytest.mark.skipif(
    shutil.which("node") is None or not COMPILER.is_file(), reason="needs Node, and the client's packages: sh .ci/node"
)

# Read once for all that is compiled are the declarations of the language and of the DOM, which take longest.
_SCRIPT = """
import { createInterface } from "node:readline";
import ts from "%(compiler)s";
const options = {
  strict: true, exactOptionalPropertyTypes: true, noEmit: true, types: [], skipDefaultLibCheck: true,
  target: ts.ScriptTarget.ES2022, lib: ["lib.es2022.d.ts", "lib.dom.d.ts"],
  module: ts.ModuleKind.NodeNext, moduleResolution: ts.ModuleResolutionKind.NodeNext,
};
const host = ts.createCompilerHost(options), read = host.getSourceFile, kept = new Map();
host.getSourceFile = (name, ...more) => {
  if (!name.startsWith(host.getDefaultLibLocation())) return read(name, ...more);
  if (!kept.has(name)) kept.set(name, read(name, ...more));
  return kept.get(name);
};
for await (const line of createInterface({ input: process.stdin })) {
  const found = ts.getPreEmitDiagnostics(ts.createProgram(JSON.parse(line), options, host)).map((one) => [
    one.file ? one.file.fileName.split("/").pop() : "",
    one.file ? one.file.getLineAndCharacterOfPosition(one.start).line + 1 : 0,
    ts.flattenDiagnosticMessageText(one.messageText, " "),
  ]);
  console.log(JSON.stringify(found));
}
"""


class Complaint(NamedTuple):
    """What the compiler says."""

    file: str
    line: int  # from 1
    text: str


class Compiler:
    """A process that compiles, until its `with` block ends."""

    def __enter__(self) -> Self:
        command = [
            "node",
            "--require",
            str(PATIENT),
            "--input-type=module",
            "-e",
            _SCRIPT % {"compiler": COMPILER.as_uri()},
        ]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=4 * PATIENCE)

    def compiled(self, folder: Path, files: Mapping[str, str]) -> list[Complaint]:
        """Compiles files, which may import the JavaScript client and each other; what is wrong with them."""
        packages = folder / "node_modules"
        if not packages.exists():
            packages.mkdir()
            (packages / "aiohttp-realtime").symlink_to(CLIENT)
        (folder / "package.json").write_text('{"type": "module"}', "utf-8")
        for name, text in files.items():
            (folder / name).write_text(text, "utf-8")
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([str(folder / name) for name in files]) + "\n")
        self._process.stdin.flush()
        said = self._process.stdout.readline()
        assert said, "the compiler has ended"
        return [Complaint(*one) for one in json.loads(said)]
