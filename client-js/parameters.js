// Which order of the parameters that nobody gives (asParameters() in arrange.js) a bundler makes the least of: `npm run names`, behind names.js.
//
// A bundler gives one name to all that stand in one place of their functions. So what each order comes to is known when it has been
// bundled: one after the other is moved, as long as that helps.

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parse } from "acorn";
import { print } from "./arrange.js";
import { BESIDE, BUNDLES, gzipped, NAMES, ROOT, shipped, tree, USUAL, writeTemporary } from "./build.js";

const cache = {}, short = { ...NAMES.members }, files = {}, pieces = {}, groups = [];
for (const one of BUNDLES.filter(({ format }) => format === "es")) {
  const { ast, settings, parameters } = await shipped(one, { cache, short });
  const { code } = await print(ast, settings), declared = [];
  (function see(node) {
    if (node.type === "FunctionDeclaration") declared.push(node);
    for (const value of Object.values(node)) for (const inner of [value].flat()) if (inner && typeof inner.type === "string") see(inner);
  })(parse(code, { ecmaVersion: 2020, sourceType: "module" }));
  // The code, and in it lists of [short name, key].
  let at = 0;
  pieces[one.file] = [];
  declared.forEach(({ params }, n) => {
    if (parameters[n].length < 2) return;
    const list = params.slice(-parameters[n].length), items = list.map(({ name }, i) => [name, parameters[n][i]]);
    pieces[one.file].push(code.slice(at, list[0].start), items);
    groups.push({ file: one.file, items });
    at = list[list.length - 1].end;
  });
  pieces[one.file].push(code.slice(at));
  files[one.file] = text(one.file);
}

function text(file) {
  return pieces[file].map((piece) => (typeof piece === "string" ? piece : piece.map(([name]) => name).join())).join("");
}

await writeTemporary(files, async (into) => {
  const measure = async ({ file }) => {
    await writeFile(join(into, file), text(file));
    const bundled = Object.values(BESIDE).map(({ wanted }) => tree(USUAL + wanted, into));
    return (await Promise.all(bundled)).map(gzipped).reduce((sum, size) => sum + size);
  };
  let best = await measure(groups[0]);
  console.log("before:", best);
  for (let before = Infinity; best < before; ) {
    before = best;
    for (const group of groups) {
      for (let from = 0; from < group.items.length; from++) {
        for (let to = 0; to < group.items.length; to++) {
          const old = [...group.items];
          group.items.splice(to, 0, ...group.items.splice(from, 1));
          const size = from === to ? best : await measure(group);
          if (size < best) best = size;
          else group.items.splice(0, old.length, ...old);
        }
      }
      await measure(group); // as it is now
    }
    console.log("after:", best);
  }
});

const parameters = [...new Set(groups.flatMap(({ items }) => items.map(([, key]) => key)))];
await writeFile(join(ROOT, "names.json"), JSON.stringify({ ...NAMES, parameters }, null, 1) + "\n");
