// Sessions by name for a test that steers the page from outside, and what they told. ES3.

var steered = (function () {
    var sessions = {}; // name -> the session
    var told = {}; // name -> [event's type, its fields in words ...], oldest first
    var answered = {}; // path -> the status of a request of the page's own

    function listen(session, log, type, fields) {
        session["on" + type] = function (event) {
            var entry = [type];
            var i, value;
            for (i = 0; i < fields.length; i++) {
                value = event[fields[i]];
                entry.push(value && typeof value === "object" ? value.slice(0) : value);
            }
            log.push(entry);
        };
    }

    // Opens a session at an address of any origin. It works with the client's own events, one call-back each.
    function open(name, url, options) {
        var i, session, transports = (options && options.transports) || [];
        for (i = 0; i < transports.length; i++) {
            if (transports[i] === "webtransport") {
                transports[i] = RealtimeWebTransport();
            }
        }
        session = sessions[name] = new Realtime(url, options);
        var log = told[name] = [];
        listen(session, log, "open", []);
        listen(session, log, "message", ["data"]);
        listen(session, log, "error", []);
        listen(session, log, "close", ["code", "reason", "wasClean", "unacknowledged", "reopening"]);
        listen(session, log, "transport", ["transport"]);
        listen(session, log, "state", ["state"]);
        return name;
    }

    function send(name, first, last) {
        for (var i = first; i <= last; i++) {
            sessions[name].send(name + " " + i);
        }
        return last;
    }

    // Everything of one type: the first field where there is one, else true.
    function of(name, type) {
        var found = [];
        var i, entry;
        for (i = 0; i < told[name].length; i++) {
            entry = told[name][i];
            if (entry[0] === type) {
                found.push(entry.length > 1 ? entry[1] : true);
            }
        }
        return found;
    }

    // The messages that begin with a word.
    function heard(name, word) {
        var all = of(name, "message");
        var found = [];
        for (var i = 0; i < all.length; i++) {
            if (all[i].indexOf(word + " ") === 0) {
                found.push(all[i]);
            }
        }
        return found;
    }

    // The last event of one type with all its fields, or null.
    function last(name, type) {
        for (var i = told[name].length; i--;) {
            if (told[name][i][0] === type) {
                return told[name][i].slice(1);
            }
        }
        return null;
    }

    // A request of the page's own, that sessions must not keep from getting through.
    function ask(path) {
        var request = new XMLHttpRequest();
        request.onreadystatechange = function () {
            if (request.readyState === 4) {
                answered[path] = request.status;
            }
        };
        request.open("GET", path, true);
        request.send(null);
        return true;
    }

    return {
        sessions: sessions, told: told, answered: answered, open: open, send: send, of: of, heard: heard, last: last, ask: ask
    };
})();
