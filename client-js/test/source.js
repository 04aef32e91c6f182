// The source as one script, bundled once for all tests of a process.

import { join } from "node:path";
import { bundle, SOURCE } from "../build.js";

export const { code } = await bundle(join(SOURCE, "legacy.js"), "iife");
