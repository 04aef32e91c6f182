/** Random identifiers, good for nonces and for names of call-backs. */

var ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789__";

/** 24 random characters: above 128 bits where the engine has good ones, and the best it has elsewhere. */
export function random() {
  var source = typeof crypto !== "undefined" && crypto, text = "", i;
  var bytes = source && source.getRandomValues && source.getRandomValues(new Uint8Array(24));
  for (i = 0; i < 24; i++) text += ALPHABET.charAt(bytes ? bytes[i] & 63 : Math.random() * 64);
  return text;
}
