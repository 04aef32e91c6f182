// Drives PhantomJS, 1.9 and 2.1: commands come over HTTP (its stdin blocks), answers go back there, and the page's
// console to stdout, as lines of JSON; see ../lines.py. One page a process. Arguments: the port to listen on.

var system = require("system");
var page = require("webpage").create();
var number = 0;
var navigations = 0;

function say(line) {
    system.stdout.write(JSON.stringify(line) + "\n");
    system.stdout.flush();
}

page.viewportSize = { width: 1024, height: 768 };
page.onConsoleMessage = function (text) {
    say({ page: number, kind: "log", text: text });
};
page.onError = function (text, trace) {
    var where = trace && trace[0] ? " (" + trace[0].file + ":" + trace[0].line + ")" : "";
    say({ page: number, kind: "error", text: text + where });
};
// A page that is left before it has loaded, for another or for itself anew, has failed to load as this engine sees it.
page.onNavigationRequested = function (url, cause, allowed, main) {
    if (main) {
        navigations += 1;
    }
};

var commands = {
    open: function (command) {
        number = command.page;
        page.open(command.url, function (status) {
            if (status !== "success" && navigations < 2) {
                say({ page: number, kind: "error", text: "the page cannot be loaded" });
            }
        });
        return null;
    },
    evaluate: function (command) {
        var answer = JSON.parse(page.evaluate(function (script) {
            try {
                return JSON.stringify({ v: eval(script) });
            } catch (thrown) {
                return JSON.stringify({ e: String(thrown) });
            }
        }, command.script));
        if (answer.e) {
            throw new Error(answer.e);
        }
        return JSON.stringify(answer.v === undefined ? null : answer.v);
    },
    screenshot: function (command) {
        page.render(command.path);
        return null;
    },
    close: function () {
        page.close();
        return null;
    }
};

var listening = require("webserver").create().listen("127.0.0.1:" + system.args[1], function (request, response) {
    var command = JSON.parse(request.postRaw || request.post);
    var answer = { id: command.id };
    try {
        answer.result = commands[command["do"]](command);
    } catch (thrown) {
        answer.error = String(thrown);
    }
    response.statusCode = 200;
    response.write(JSON.stringify(answer));
    response.close();
});

if (!listening) {
    say({ page: 0, kind: "error", text: "cannot listen on " + system.args[1] });
    phantom.exit(1);
}
say({ version: "PhantomJS/" + phantom.version.major + "." + phantom.version.minor + "." + phantom.version.patch });
