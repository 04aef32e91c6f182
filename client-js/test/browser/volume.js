// Much, and large: numbered messages both ways at once over streams that are recycled, and messages of a megabyte. ES3.

(function () {
    function padded(number) {
        return number + ":" + "\u00e9\u2028x".substring(0, number % 4) + new Array(20 + number % 41).join("-");
    }

    // Sends 1 to count while it receives 1 to count, all padded; the server checks too, and says so at the end.
    function numbers(t, path, count, pause) {
        var socket = t.open(path);
        var sent = 0;
        var received = 0;

        function more() {
            var until = Math.min(count, sent + (pause ? 5 : 100));
            while (sent < until) {
                sent += 1;
                socket.send(padded(sent));
            }
            if (sent < count) {
                setTimeout(more, pause || 0);
            }
        }

        socket.onopen = function () {
            socket.send(String(count));
            more();
        };
        socket.onmessage = function (event) {
            if (received < count) {
                if (t.equal(event.data, padded(received + 1), "number " + (received + 1))) {
                    received += 1;
                }
            } else if (t.equal(event.data, "all right", "what the server says of ours")) {
                t.done();
            }
        };
    }

    scenarios.numbers = function (t) {
        numbers(t, "/numbers", 2000, 0);
    };

    // For faults: over a while, so that they fall into it.
    scenarios.hundred = function (t) {
        numbers(t, "/numbers", 100, 20);
    };

    scenarios.large_text = function (t) {
        var unit = "0123456789 \u00e9 \u2028 \ud83d\ude00 \"\\ \u4e2d\u6587 ";
        var text = new Array(24001).join(unit); // just below a megabyte in UTF-8
        var socket = t.open("/echo");
        socket.onopen = function () {
            socket.send(text);
        };
        socket.onmessage = function (event) {
            if (t.equal(event.data.length, text.length, "length") && t.equal(event.data === text, true, "the same")) {
                t.done();
            }
        };
    };

    scenarios.large_binary = function (t) {
        var size = 1000000;
        var bytes, i, socket;
        if (typeof ArrayBuffer === "undefined" || typeof Uint8Array === "undefined") {
            t.note("no ArrayBuffer here");
            t.done();
            return;
        }
        bytes = new Uint8Array(size);
        for (i = 0; i < size; i++) {
            bytes[i] = i * 31 + (i >> 8);
        }
        socket = t.open("/echo");
        socket.onopen = function () {
            socket.send(bytes.buffer);
        };
        socket.onmessage = function (event) {
            var got = new Uint8Array(event.data);
            if (!t.equal(got.length, size, "length")) {
                return;
            }
            for (i = 0; i < size; i++) {
                if (got[i] !== bytes[i]) {
                    t.fail("byte " + i + " is " + got[i]);
                    return;
                }
            }
            t.done();
        };
    };
})();
