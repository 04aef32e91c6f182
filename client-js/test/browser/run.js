// Runs the scenarios that the query string names, one after another, and reports once to whoever opened the page.
// ES3, and nothing that an old browser lacks. A scenario is a function of `t`, in `scenarios`, that ends by t.done() or
// t.fail(); it opens sessions by t.open(), whose only transport is the one that the query string names.

var scenarios = {};

var run = (function () {
    var log = [];
    var results = [];
    var started = new Date().getTime();
    var query = parse(location.search.substring(1));

    function parse(text) {
        var found = {};
        var pairs = text.split("&");
        var i, at;
        for (i = 0; i < pairs.length; i++) {
            at = pairs[i].indexOf("=");
            found[pairs[i].substring(0, at)] = decodeURIComponent(pairs[i].substring(at + 1));
        }
        return found;
    }

    function note(text) {
        log.push(((new Date().getTime() - started) / 1000).toFixed(3) + " " + text);
        if (log.length > 400) {
            log.splice(50, 50);
        }
    }

    // JSON in ASCII; lone surrogates too must get through.
    function encode(value) {
        var parts = [];
        var i, key;
        if (value === null || value === undefined) {
            return "null";
        }
        if (typeof value === "number" || typeof value === "boolean") {
            return String(value);
        }
        if (typeof value === "string") {
            for (i = 0; i < value.length; i++) {
                key = value.charCodeAt(i);
                parts.push(key > 31 && key < 127 && key !== 34 && key !== 92
                    ? value.charAt(i) : "\\u" + ("000" + key.toString(16)).slice(-4));
            }
            return '"' + parts.join("") + '"';
        }
        if (Object.prototype.toString.call(value) === "[object Array]") {
            for (i = 0; i < value.length; i++) {
                parts.push(encode(value[i]));
            }
            return "[" + parts.join(",") + "]";
        }
        for (key in value) {
            if (Object.prototype.hasOwnProperty.call(value, key)) {
                parts.push(encode(key) + ":" + encode(value[key]));
            }
        }
        return "{" + parts.join(",") + "}";
    }

    function report() {
        var ok = true;
        var address = "/report?token=" + query.token;
        var i, body, request;
        for (i = 0; i < results.length; i++) {
            ok = ok && results[i].ok;
        }
        body = encode({ ok: ok, log: log, details: results, errors: pageErrors });
        try {
            request = window.XMLHttpRequest ? new XMLHttpRequest() : new ActiveXObject("Microsoft.XMLHTTP");
            request.open("POST", address, true);
            request.setRequestHeader("Content-Type", "text/plain;charset=UTF-8");
            request.send(body);
            run.request = request; // kept until it is through
        } catch (thrown) {
            run.image = new Image();
            run.image.src = address + "&report=" + encodeURIComponent(body.substring(0, 1500));
        }
    }

    function Test(name, next) {
        this.name = name;
        this.started = new Date().getTime();
        this.sockets = [];
        this.next = next;
        this.over = false;
    }

    Test.prototype.note = function (text) {
        note(this.name + ": " + text);
    };

    // A session at an endpoint. `options` are the client's; `base` is "same" (default) or "cross".
    Test.prototype.open = function (path, options, base) {
        var self = this;
        var socket, key, i;
        var all = { transports: query.transport ? query.transport.split(",") : undefined };
        for (i = 0; all.transports && i < all.transports.length; i++) {
            if (all.transports[i] === "webtransport") {
                all.transports[i] = RealtimeWebTransport();
            }
        }
        if (!all.transports) {
            delete all.transports;
        }
        for (key in options || {}) {
            all[key] = options[key];
        }
        socket = new Realtime(query[base || "same"] + path, all);
        socket.binaryType = "arraybuffer";
        this.sockets.push(socket);
        this.transport = null;
        socket.onopen = function () {
            self.note("open over " + socket.transport);
        };
        socket.ontransport = function () {
            self.note("transport " + socket.transport);
        };
        socket.onclose = function (event) {
            self.fail("closed: " + event.code + " " + event.reason);
        };
        return socket;
    };

    Test.prototype.equal = function (actual, expected, what) {
        if (actual !== expected) {
            this.fail(what + ": " + encode(cut(actual)) + ", expected " + encode(cut(expected)));
        }
        return actual === expected;
    };

    function cut(value) {
        return typeof value === "string" && value.length > 200 ? value.substring(0, 200) + "... " + value.length : value;
    }

    Test.prototype.finish = function (ok, problem) {
        var i, socket;
        if (this.over) {
            return;
        }
        this.over = true;
        for (i = 0; i < this.sockets.length; i++) {
            socket = this.sockets[i];
            this.transport = socket.transport || this.transport;
            socket.onopen = socket.onmessage = socket.onclose = socket.ontransport = null;
            try {
                socket.close();
            } catch (thrown) {
                ok = false;
                problem = problem || "close() threw " + thrown;
            }
        }
        results.push({
            scenario: this.name, ok: ok, problem: problem || null, transport: this.transport || null,
            seconds: (new Date().getTime() - this.started) / 1000
        });
        this.note(ok ? "done" : problem);
        this.next();
    };

    Test.prototype.done = function () {
        this.finish(true);
    };

    Test.prototype.fail = function (problem) {
        this.finish(false, problem);
    };

    function start() {
        var names = query.scenarios.split(",");

        function next() {
            var name = names.shift();
            if (!name) {
                report();
                return;
            }
            var test = new Test(name, function () {
                setTimeout(next, 0);
            });
            test.note("begins");
            if (!scenarios[name]) {
                test.fail("there is no such scenario");
                return;
            }
            try {
                scenarios[name](test);
            } catch (thrown) {
                test.fail("threw " + (thrown.message || thrown));
            }
        }

        // Behind the page's own loading: scripts that run before are cut short by some engines.
        setTimeout(next, 0);
    }

    return { start: start, log: log, query: query };
})();
