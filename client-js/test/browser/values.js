// Everything that a message can be gets through as it is. The server spells out what came, and sends it back. ES3.

(function () {
    var ranges = [
        [0x00, 0x7f], [0x80, 0x9f], [0xa0, 0xff], [0x300, 0x30f], [0x600, 0x605], [0x70f, 0x70f], [0x17b4, 0x17b5],
        [0x200b, 0x200f], [0x2028, 0x202f], [0x2060, 0x206f], [0xfeff, 0xfeff], [0xfff0, 0xffff], [0xd7fe, 0xd7ff],
        [0xe000, 0xe001], [0xfdd0, 0xfdd1]
    ];

    function spell(text) {
        var words = [];
        var i, unit, next;
        for (i = 0; i < text.length; i++) {
            unit = text.charCodeAt(i);
            next = text.charCodeAt(i + 1);
            if (unit >= 0xd800 && unit < 0xdc00 && next >= 0xdc00 && next < 0xe000) {
                unit = 0x10000 + (unit - 0xd800) * 0x400 + next - 0xdc00;
                i += 1;
            } else if (unit >= 0xd800 && unit < 0xe000) {
                unit = 0xfffd;
            }
            words.push(unit.toString(16));
        }
        return words.join(" ");
    }

    // Sends each value alone; each comes back twice, spelled and as it is.
    function exchange(t, values, same) {
        var socket = t.open("/spell");
        var at = 0;
        var spelled = false;
        socket.onopen = function () {
            var i;
            for (i = 0; i < values.length; i++) {
                socket.send(values[i]);
            }
        };
        socket.onmessage = function (event) {
            if (!same(t, values[at], event.data, spelled)) {
                return;
            }
            if (spelled) {
                at += 1;
            }
            spelled = !spelled;
            if (at === values.length) {
                t.done();
            }
        };
    }

    function sameText(t, value, got, spelled) {
        if (!spelled) {
            return t.equal(got, spell(value), "spelled");
        }
        return t.equal(spell(got), spell(value), "came back");
    }

    scenarios.values = function (t) {
        var values = [
            "", " ", "\"", "\\", "\\\\\"", "\r\n", "\n\n", "\u0000", "a\u0000b", "</script>", "<!--", "]]>", "%00%", "&amp;",
            "\ufeff", "\ufeffx", "data: x\n\n", "[\"m\"]", "null", "true", "0", "e\u0301", "\u00ad", "\u2028\u2029",
            "\ud83d\ude00", "\udbff\udfff", "\ud83d\ude00\u0301\ud83d\udc69\u200d\ud83d\udcbb", "--realtime\r\n", "'"
        ];
        var all = "";
        var i, unit;
        for (i = 0; i < ranges.length; i++) {
            for (unit = ranges[i][0]; unit <= ranges[i][1]; unit++) {
                values.push("<" + String.fromCharCode(unit) + ">");
                all += String.fromCharCode(unit);
            }
        }
        values.push(all, all + "\ud83d\ude00" + all);
        exchange(t, values, sameText);
    };

    scenarios.lone_surrogates = function (t) {
        exchange(t, ["a\ud800b", "\udc00", "\ud83d", "\ude00\ud83d", "\ud800\ud800\udc00", "x\udfff"], sameText);
    };

    function hex(buffer) {
        var bytes = new Uint8Array(buffer);
        var words = [];
        var i;
        for (i = 0; i < bytes.length; i++) {
            words.push((bytes[i] < 16 ? "0" : "") + bytes[i].toString(16));
        }
        return words.join("");
    }

    scenarios.binary = function (t) {
        var sizes = [0, 1, 2, 3, 4, 256, 257];
        var values = [];
        var i, j, bytes;
        if (typeof ArrayBuffer === "undefined" || typeof Uint8Array === "undefined") {
            t.note("no ArrayBuffer here");
            t.done();
            return;
        }
        for (i = 0; i < sizes.length; i++) {
            bytes = new Uint8Array(sizes[i]);
            for (j = 0; j < sizes[i]; j++) {
                bytes[j] = j;
            }
            values.push(bytes.buffer);
        }
        exchange(t, values, function (test, value, got, spelled) {
            if (!spelled) {
                return test.equal(got, "bytes " + hex(value), "spelled");
            }
            return test.equal(Object.prototype.toString.call(got), "[object ArrayBuffer]", "type") &&
                test.equal(hex(got), hex(value), "came back");
        });
    };
})();
