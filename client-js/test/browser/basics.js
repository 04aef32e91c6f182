// A session opens, echoes in order, crosses origins, and is closed from either end. ES3.

(function () {
    // 200 numbered messages, all at once, come back in order.
    function echo(t, base) {
        var count = 200;
        var got = 0;
        var socket = t.open("/echo", {}, base);
        var opened = socket.onopen;
        socket.onopen = function (event) {
            var i;
            opened.call(socket, event);
            for (i = 0; i < count; i++) {
                socket.send("message " + i);
            }
        };
        socket.onmessage = function (event) {
            if (t.equal(event.data, "message " + got, "echo")) {
                got += 1;
                if (got === count) {
                    t.done();
                }
            }
        };
    }

    scenarios.echo = function (t) {
        echo(t, "same");
    };

    scenarios.cross_origin = function (t) {
        echo(t, "cross");
    };

    // The server closes with a code and a reason of the application's.
    scenarios.closed_by_server = function (t) {
        var socket = t.open("/close");
        var messages = [];
        socket.onopen = function () {
            socket.send("4321 bye \u00e9");
        };
        socket.onmessage = function (event) {
            messages.push(event.data);
        };
        socket.onclose = function (event) {
            // What was sent before a close comes before it.
            if (t.equal(messages.join(), "last words", "before the close") &&
                t.equal(event.code, 4321, "code") &&
                t.equal(event.reason, "bye \u00e9", "reason") &&
                t.equal(event.wasClean, true, "wasClean")) {
                t.done();
            }
        };
    };

    // The page closes; the server notes what it saw, and a second session asks for it.
    scenarios.closed_by_client = function (t) {
        var name = "note " + run.query.token;
        var socket = t.open("/note");
        socket.onmessage = function () {
            socket.close(4567, "enough \u00e9");
        };
        socket.onopen = function () {
            socket.send(name);
        };
        socket.onclose = function (event) {
            var second;
            if (!t.equal(event.code, 4567, "code") || !t.equal(event.reason, "enough \u00e9", "reason")) {
                return;
            }
            second = t.open("/noted");
            second.onopen = function () {
                second.send(name);
            };
            second.onmessage = function (answer) {
                if (t.equal(answer.data, "4567 enough \u00e9", "what the server saw")) {
                    t.done();
                }
            };
        };
    };
})();
