// A chat for a bundler: what is not imported is not in the bundle. Build it with
//   npx esbuild chat.js --bundle --minify --outfile=chat.min.js
import { Realtime, long_polling, websocket } from "aiohttp-realtime";

const session = new Realtime("/realtime/chat", { transports: [websocket, long_polling] });

const log = document.querySelector("#log");
const form = document.querySelector("form");

session.onmessage = ({ data }) => log.append(data, "\n");
session.onclose = ({ code, reason }) => log.append(`closed: ${code} ${reason}\n`);
form.onsubmit = (event) => {
  event.preventDefault();
  session.send(form.elements.text.value);
  form.reset();
};
