/** Random identifiers, good for nonces and for names of call-backs. */

/** 26 random characters: 130 bits where the engine has good ones, and the best it has elsewhere. */
export function random() {
  var bytes = [], text = "", i;
  try {
    crypto.getRandomValues(bytes = new Uint8Array(26)); // returns nothing in engines of 2012
  } catch (error) {
    // An engine before 2013.
  }
  for (i = 0; i < 26; i++) text += ((bytes[i] || Math.random() * 32) & 31).toString(32);
  return text;
}
