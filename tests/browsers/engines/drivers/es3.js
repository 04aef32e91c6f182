// Makes an ES5 interpreter a fair ES3 one, by taking away what ES5 brought: a script that uses any of it fails here.

(function (gone) {
    var i;
    for (i = 0; i < gone.length; i++) {
        delete gone[i][0][gone[i][1]];
    }
})([
    [Object, "create"], [Object, "defineProperty"], [Object, "defineProperties"], [Object, "keys"],
    [Object, "getOwnPropertyDescriptor"], [Object, "getOwnPropertyNames"], [Object, "getPrototypeOf"],
    [Object, "freeze"], [Object, "isFrozen"], [Object, "seal"], [Object, "isSealed"],
    [Object, "preventExtensions"], [Object, "isExtensible"],
    [Function.prototype, "bind"], [String.prototype, "trim"], [Date, "now"], [Date.prototype, "toISOString"],
    [Date.prototype, "toJSON"], [Array, "isArray"],
    [Array.prototype, "indexOf"], [Array.prototype, "lastIndexOf"], [Array.prototype, "every"],
    [Array.prototype, "some"], [Array.prototype, "forEach"], [Array.prototype, "map"],
    [Array.prototype, "filter"], [Array.prototype, "reduce"], [Array.prototype, "reduceRight"],
    [this, "JSON"]
]);
