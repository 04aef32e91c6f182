// The same in a page: the test asks for one library after the other.
import Realtime from "../../../client-js/dist/realtime.mjs";
import { libraries, run } from "./libraries.js";

window.names = Object.keys(libraries);
window.start = (name, at) => {
  window.told = null;
  run(name, Realtime, at).then((told) => (window.told = told));
};
