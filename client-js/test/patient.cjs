// V8 compiles again, and better, what has run for some milliseconds. In a process that ends after seconds that takes more
// than it gives back: import this first, or `node --require` it, and only what runs for long is.

require("node:v8").setFlagsFromString("--interrupt-budget=1000000");
