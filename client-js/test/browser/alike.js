// The same scripts for the browser's own WebSocket and for Realtime. Each says what it sees, and what both say must be
// alike. For a current browser.

var alike = (function () {
    var results = {}; // "name kind" -> what was seen, when it is done
    var scripts = {
        constants: function (make, say, done) {
            var socket = make("/echo");
            var names = ["CONNECTING", "OPEN", "CLOSING", "CLOSED"];
            names.forEach(function (name) {
                say(name, (socket instanceof Realtime ? Realtime : WebSocket)[name], socket[name]);
            });
            say(socket.readyState, socket.bufferedAmount, socket.protocol, socket.extensions, socket.binaryType);
            say(socket.onopen, socket.onmessage, socket.onclose, socket.onerror);
            socket.onopen = function () {
                socket.close();
            };
            socket.onclose = done;
        },
        events: function (make, say, done) {
            var socket = make("/echo");
            ["open", "message", "error", "close"].forEach(function (type) {
                socket["on" + type] = function (event) {
                    say(event.type, this === socket, event.target === socket, event.currentTarget === socket, socket.readyState);
                    if (type === "open") {
                        socket.send("one");
                        socket.send("two");
                    }
                    if (type === "message") {
                        say(event.data);
                        if (event.data === "two") {
                            socket.close(3456, "enough \u00e9");
                            say(socket.readyState);
                        }
                    }
                    if (type === "close") {
                        say(event.code, event.reason, event.wasClean);
                        done();
                    }
                };
            });
        },
        closed_by_server: function (make, say, done) {
            var socket = make("/close");
            socket.onopen = function () {
                socket.send("4321 bye \u00e9");
            };
            socket.onmessage = function (event) {
                say(event.data);
            };
            socket.onerror = function () {
                say("error");
            };
            socket.onclose = function (event) {
                say(event.code, event.reason, event.wasClean, socket.readyState);
                done();
            };
        },
        listeners: function (make, say, done) {
            var socket = make("/echo");
            var object = {
                handleEvent: function (event) {
                    say("object", this === object, event.type);
                }
            };
            function first() {
                say("first");
            }
            function second() {
                say("second");
            }
            function never() {
                say("never");
            }
            socket.onmessage = function (event) {
                say("onmessage", event.data);
                if (event.data === "2") {
                    socket.removeEventListener("message", first);
                    socket.removeEventListener("message", object);
                }
                if (event.data === "4") {
                    socket.close();
                }
            };
            socket.addEventListener("message", first);
            socket.addEventListener("message", second, { once: true });
            socket.addEventListener("message", object);
            socket.addEventListener("message", first); // the second time counts for nothing
            socket.addEventListener("message", never);
            socket.removeEventListener("message", never);
            socket.addEventListener("open", function () {
                ["1", "2", "3", "4"].forEach(function (word) {
                    socket.send(word);
                });
            });
            socket.addEventListener("close", function () {
                say("close");
                done();
            });
        },
        added_meanwhile: function (make, say, done) {
            var socket = make("/echo");
            socket.addEventListener("open", function () {
                say("a");
                socket.addEventListener("close", done);
                socket.close();
            });
            socket.addEventListener("open", function () {
                say("b");
            });
        },
        exceptions: function (make, say, done) {
            var socket = make("/echo");
            var before = pageErrors.length;
            socket.onmessage = function () {
                throw new Error("thrown by onmessage");
            };
            socket.addEventListener("message", function () {
                throw new Error("thrown by a listener");
            });
            socket.addEventListener("message", function (event) {
                say("still called", event.data);
                setTimeout(function () {
                    pageErrors.splice(before).forEach(function (text) {
                        say(text.replace(/ \(.*/, ""));
                    });
                    socket.close();
                }, 50);
            });
            socket.onopen = function () {
                socket.send("x");
            };
            socket.onclose = function () {
                say("close");
                done();
            };
        },
        close_twice: function (make, say, done) {
            var socket = make("/echo");
            socket.onopen = function () {
                socket.close(4000, "first");
                socket.close(4001, "second");
                say(socket.readyState);
                socket.send("dropped");
            };
            socket.onmessage = function () {
                say("message");
            };
            socket.onclose = function (event) {
                say(event.code, event.reason, event.wasClean, socket.readyState);
                socket.close();
                socket.close(4002);
                socket.send("dropped too");
                setTimeout(done, 100);
            };
        },
        codes: function (make, say, done) {
            var socket = make("/echo");
            socket.onopen = function () {
                [0, 999, 1001, 1005, 1006, 1015, 2999, 5000, 65536, -1, NaN].forEach(function (code) {
                    try {
                        socket.close(code);
                        say(code, "taken");
                    } catch (error) {
                        say(code, "refused");
                    }
                });
                try {
                    socket.close(1000, new Array(64).join("\u00e9"));
                    say("126 bytes", "taken");
                } catch (error) {
                    say("126 bytes", "refused");
                }
                say(socket.readyState);
                socket.close(4999, new Array(124).join("x"));
            };
            socket.onclose = function (event) {
                say(event.code, event.reason.length, event.wasClean);
                done();
            };
        },
        binary: function (make, say, done) {
            var socket = make("/echo");
            var count = 0;
            var bytes = new Uint8Array([9, 1, 2, 3, 9]);
            function seen(data, buffer) {
                say(Object.prototype.toString.call(data), Array.from(new Uint8Array(buffer)));
                count += 1;
                if (count === 4) {
                    socket.close();
                }
            }
            socket.onopen = function () {
                socket.send(bytes.buffer);
                bytes[0] = 7; // sent is sent
                socket.send(bytes.subarray(1, 4));
            };
            socket.onmessage = function (event) {
                if (event.data instanceof Blob) {
                    event.data.arrayBuffer().then(function (buffer) {
                        seen(event.data, buffer);
                        if (count === 2) {
                            socket.binaryType = "arraybuffer";
                            socket.send(new DataView(bytes.buffer, 1, 2));
                            socket.send(new ArrayBuffer(0));
                        }
                    });
                } else {
                    seen(event.data, event.data);
                }
            };
            socket.onclose = done;
        },
        words: function (make, say, done) {
            var socket = make("/echo");
            var values = [0, null, undefined, true, {}, [1, 2], "a\ud800b", ""];
            var count = 0;
            socket.onopen = function () {
                values.forEach(function (value) {
                    socket.send(value);
                });
            };
            socket.onmessage = function (event) {
                say(event.data);
                count += 1;
                if (count === values.length) {
                    socket.close();
                }
            };
            socket.onclose = done;
        }
    };

    // Runs one script with "native" or "ours" at the address `base`.
    function run(name, kind, base) {
        var seen = [];
        function make(path, whole) {
            var url = whole ? path : base + path;
            return kind === "native" ? new WebSocket(url) : new Realtime(url);
        }
        scripts[name](make, function () {
            seen.push(Array.prototype.slice.call(arguments).map(function (value) {
                return value === undefined ? "undefined" : value !== value ? "NaN" : value;
            }));
        }, function () {
            results[name + " " + kind] = seen;
        });
        return true;
    }

    return { names: Object.keys(scripts), run: run, results: results };
})();
