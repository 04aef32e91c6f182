// node node.js <base URL> <transport> <scenario>: prints what happened, as JSON.
"use strict";
const SockJS = require("sockjs-client");
const { run } = require("./scenarios.js");
const [base, transport, scenario] = process.argv.slice(2);
run(SockJS, base, transport, scenario, (told) => {
  console.log(JSON.stringify(told));
  process.exit(0);
});
