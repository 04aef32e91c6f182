/** What is global: in pages, in workers, in Node. */
export var root = /*#__PURE__*/ (function () {
  return typeof self !== "undefined" ? self : global;
})();

/** Where there is nothing to do. */
export function ignore() {}
