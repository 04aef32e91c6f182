// About the engine alone, without a session: the harness tries itself on these. ES3.

// An error that nobody catches, seen by whoever drives the engine.
scenarios.uncaught = function (t) {
    setTimeout(function () {
        setTimeout(function () {
            t.done();
        }, 20);
        throw new Error("nobody catches this");
    }, 0);
};

// No cookie is left of an earlier page.
scenarios.fresh = function (t) {
    if (t.equal(document.cookie, "", "cookies")) {
        document.cookie = "seen=1";
        t.equal(document.cookie, "seen=1", "the cookie just set");
        t.done();
    }
};
