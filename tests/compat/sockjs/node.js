// node node.js <base URL> <transport> <scenario>...: runs them beside each other; prints what happened, as JSON by name.
"use strict";
const SockJS = require("sockjs-client");
const { run } = require("./scenarios.js");
const [base, transport, ...scenarios] = process.argv.slice(2);
const all = {};
for (const scenario of scenarios)
  run(SockJS, base, transport, scenario, (told) => {
    all[scenario] = told;
    if (Object.keys(all).length < scenarios.length) return;
    console.log(JSON.stringify(all));
    process.exit(0);
  });
