// `npm run unit`: the tests of the source in one process. What takes long is to read the bundler and to make the script
// with it, as each of them does, and that is done once here. (`node --test` runs each in a process of its own.)

import "./test/patient.cjs";
import { readdirSync } from "node:fs";

const GATES = ["shipped.test.js", "types.test.js"]; // `npm run check`
const TESTS = new URL("test/", import.meta.url);

for (const file of readdirSync(TESTS).sort()) {
  if (file.endsWith(".test.js") && !GATES.includes(file)) await import(new URL(file, TESTS));
}
