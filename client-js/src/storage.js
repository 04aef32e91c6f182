/** What pages of one origin keep for each other: localStorage, and where there is none what this page keeps for itself. */
// By the window, which Node has none of: from 25 on that warns of its own.
var memory = {};

export function read(key) {
  try {
    return window.localStorage.getItem(key);
  } catch (error) {
    return memory[key];
  }
}

export function keep(key, text) {
  try {
    window.localStorage.setItem(key, text);
  } catch (error) {
    memory[key] = text; // missing, full, or forbidden
  }
}
