/** Random identifiers, good for nonces and for names of call-backs. */
import { root } from "./root.js";

/** 26 random characters: 130 bits where the engine has good ones, and the best it has elsewhere. */
export function random() {
  var source = root.crypto, text = "", i;
  var bytes = source && source.getRandomValues && source.getRandomValues(new Uint8Array(26));
  for (i = 0; i < 26; i++) text += ((bytes ? bytes[i] : Math.random() * 32) & 31).toString(32);
  return text;
}
