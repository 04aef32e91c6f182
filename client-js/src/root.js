/** What is global: in pages, in workers, in Node. */
export var root = /*#__PURE__*/ (function () {
  return typeof window !== "undefined" ? window : typeof self !== "undefined" ? self : global;
})();
