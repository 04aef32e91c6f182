/** What pages of one origin keep for each other: localStorage, and where there is none what this page keeps for itself. */
var memory = {};

export function read(key) {
  try {
    return localStorage.getItem(key);
  } catch (error) {
    return memory[key];
  }
}

export function keep(key, text) {
  try {
    localStorage.setItem(key, text);
  } catch (error) {
    memory[key] = text; // missing, full, or forbidden
  }
}
