// The page's end of a campaign: opens the sessions of a plan, sends what the plan says when it says so, and keeps
// account of all that was sent, came and happened. tests/browsers/campaign makes the plans and judges the accounts.

var campaign = (function () {
    var ALPHABET = ["a", "\u00e9", "\u2028", "\"", "\\", "<", "\u2603", "\n", "0", " ", "%", "\u0000"];
    var sessions = {}; // name -> the session
    var accounts = {}; // name -> see open()
    var began = 0;

    function now() {
        return new Date().getTime() - began;
    }

    // The message with this number, as campaign/ledger.py makes it: a head, and what follows from number and size.
    function text(way, number, size) {
        var pad = "";
        while (pad.length < size) {
            pad += ALPHABET[(number + pad.length) % ALPHABET.length];
        }
        return way + " " + number + " " + size + " " + pad;
    }

    function binary(way, number, size) {
        var head = way + " " + number + " " + size + " ";
        var bytes = new Uint8Array(head.length + size);
        var i;
        for (i = 0; i < head.length; i++) {
            bytes[i] = head.charCodeAt(i);
        }
        for (i = 0; i < size; i++) {
            bytes[head.length + i] = (number + i) & 255;
        }
        return bytes;
    }

    // Number and size in the head of a message; null where there is none.
    function fields(data) {
        var bytes, head = "", i;
        if (typeof data === "string") {
            return /^(\S+) (\d+) (\d+) /.exec(data);
        }
        bytes = new Uint8Array(data);
        for (i = 0; i < bytes.length && i < 60; i++) {
            head += String.fromCharCode(bytes[i]);
        }
        return /^(\S+) (\d+) (\d+) /.exec(head);
    }

    function same(one, other) {
        var i;
        if (typeof one === "string" || typeof other === "string") {
            return one === other;
        }
        if (one.length !== other.length) {
            return false;
        }
        for (i = 0; i < one.length; i++) {
            if (one[i] !== other[i]) {
                return false;
            }
        }
        return true;
    }

    // The number of a message, after a comparison of all of it with what that message has to be.
    function numberOf(way, data, problems) {
        var found = fields(data), isText = typeof data === "string", right;
        if (!found || found[1] !== way) {
            problems.push("a message that nobody sent: " + String(found || data).slice(0, 60));
            return -1;
        }
        right = (isText ? text : binary)(way, +found[2], +found[3]);
        if (!same(isText ? data : new Uint8Array(data), right)) {
            problems.push("message " + found[2] + " (" + (isText ? "text" : "binary") + ") has changed on its way");
        }
        return +found[2];
    }

    // plan: {name, url, options, sends: [[ms, size, isBinary], ...], close: null or [ms, code]}
    function open(plan) {
        var account = accounts[plan.name] = {
            sent: [], received: [], problems: [], events: [], opened: false, asked: null, close: null
        };
        var session = sessions[plan.name] = new Realtime(plan.url, plan.options);
        function note(words) {
            account.events.push([now(), words]);
        }
        session.binaryType = "arraybuffer";
        session.onopen = function () {
            account.opened = true;
            note("open");
        };
        session.onmessage = function (event) {
            account.received.push(numberOf(plan.name + "v", event.data, account.problems));
        };
        session.ontransport = function (event) {
            note("transport " + event.transport + (event.reason ? " (" + event.reason + ")" : ""));
        };
        session.onstate = function (event) {
            note("state " + event.state);
        };
        session.onclose = function (event) {
            var left = [], i;
            for (i = 0; i < event.unacknowledged.length; i++) {
                left.push(numberOf(plan.name + "^", event.unacknowledged[i], account.problems));
            }
            if (account.close) {
                account.problems.push("a second close event: " + event.code);
            }
            account.close = { code: event.code, reason: event.reason, clean: event.wasClean, unacknowledged: left };
            note("close " + event.code + " " + event.reason + (event.wasClean ? " (clean)" : ""));
        };
        note("opening");
        schedule(plan, session, account, 0);
        if (plan.close) {
            setTimeout(function () {
                close(plan.name, plan.close[1]);
            }, plan.close[0]);
        }
    }

    function schedule(plan, session, account, next) {
        var entry;
        function wait() {
            setTimeout(function () {
                schedule(plan, session, account, next);
            }, Math.max(0, entry[0] - now()));
        }
        for (; next < plan.sends.length && session.readyState < 2; next++) {
            entry = plan.sends[next];
            if (entry[0] > now()) {
                wait();
                return;
            }
            session.send((entry[2] ? binary : text)(plan.name + "^", next + 1, entry[1]));
            account.sent.push(next + 1);
        }
        account.done = true;
    }

    function close(name, code) {
        var account = accounts[name];
        if (sessions[name].readyState < 2) {
            account.asked = code;
            account.events.push([now(), "close(" + code + ")"]);
            sessions[name].close(code, "as planned");
        }
    }

    function start(plans) {
        var i;
        began = new Date().getTime();
        for (i = 0; i < plans.length; i++) {
            open(plans[i]);
        }
        // Behind the sessions' own listeners: if the page goes for good, they have closed when this is called.
        if (typeof sessionStorage !== "undefined" && window.addEventListener) {
            window.addEventListener("pagehide", function (event) {
                sessionStorage.setItem("campaign", JSON.stringify({ kept: !!event.persisted, accounts: report() }));
            }, false);
            // A page that came back leaves anew: what it left the first time is no account of that, and may be what is
            // read where the next one is written late.
            window.addEventListener("pageshow", function () {
                sessionStorage.removeItem("campaign");
            }, false);
        }
    }

    // What changes while it goes on, short: it is asked for often.
    function standing() {
        var all = {}, name;
        for (name in accounts) {
            all[name] = [
                accounts[name].sent.length, accounts[name].received.length, !!accounts[name].done,
                accounts[name].opened, !!accounts[name].close
            ];
        }
        return JSON.stringify(all);
    }

    function report() {
        var name;
        for (name in sessions) {
            accounts[name].state = sessions[name].state;
            accounts[name].transport = sessions[name].transport;
            accounts[name].owed = sessions[name].unacknowledged.length;
        }
        return JSON.stringify(accounts);
    }

    // For a page of the same address that begins after this one: how this one was left, {kept, accounts: a report}, or
    // null. `kept` says that the browser meant to bring it back.
    function before() {
        return typeof sessionStorage === "undefined" ? null : sessionStorage.getItem("campaign");
    }

    return { start: start, close: close, standing: standing, report: report, before: before };
})();
