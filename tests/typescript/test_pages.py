"""Pages against the types of an application: right ones compile; wrong ones do not, for the reason that is meant."""

from __future__ import annotations

from pathlib import Path

import realtime
from realtime.typescript.declarations import Home, declarations

from ..test_docs_blocks import RUN
from . import app
from .compiler import Compiler, needs_compiler

BEGIN = """
import Realtime, { type Json } from "aiohttp-realtime";
import { events } from "aiohttp-realtime/events";
import type {
  ChatHeard, ChatSent, ChatAuth, ChatAdminHeard, ChatAdminSent, ChatGameHeard, ChatGameSent,
  Line, LineInput, Order, User
} from "./app.js";
export {};
const session = new Realtime("/realtime/chat");
const chat = events<ChatHeard, ChatSent>(session, { auth: { name: "ada" } satisfies ChatAuth });
const admin = chat.of<ChatAdminHeard, ChatAdminSent>("/admin");
const game = chat.of<ChatGameHeard, ChatGameSent>("/game-7");
const same = <T>(value: T): T => value;
"""

RIGHT = """
chat.on("message", (name, text, colors) => console.log(name.trim(), text.trim(), colors?.map((one) => one === "red")));
chat.on("line drawn", (line, picture) => { line.points.push({ x: 1, y: picture.byteLength }); });
chat.on("confirm", async (question) => question.length > 3);
chat.once("confirm", () => true);
chat.on("connect", () => {});
chat.emit("message", "hello");
chat.emit("message", "hello", "loud");
chat.emit("message", "hello", "loud", (error, answer) => error?.code ?? answer?.trim());
same<string>(await chat.call("message", "hello"));
const points = [{ x: 1, y: 2 }] as const;
const answer: Line | undefined = await chat.call("draw", { points }, { points, label: "other" });
const kept: LineInput = answer ?? { points: [] };
same<number>((await chat.call("move", [1, 2])).x + (await chat.call("move", [1, 2], null)).y);
const order: Order = { what: "tea", colors: ["red"], notes: { milk: "no" } };
const [count, color] = await chat.call("order", order);
same<number>(count);
same<"red" | "blue">(color);
const user: User = { name: "ada", friends: [{ name: "bob" }] };
const json: Json = user; // what has a name is JSON, too: `auth`, and an argument of any type
same<void>(await chat.call("book", { row: 1, picture: new Uint8Array(1) }, user));
same<ArrayBuffer>(await chat.call("upload", "a.png", new ArrayBuffer(1)));
(await chat.call("anything", [1, { a: new Uint8Array(2) }])).of.any.kind;
same<boolean>(await admin.call("stop", 1.5));
admin.emit("whatever", 1, "two");
admin.on("whatever", (...args) => args.length);
game.emit("play", 5);
game.on("dealt", (card: number) => card);
"""

# Each with what the compiler says of it.
WRONG = [
    ('chat.emit("mesage", "hello");', "Argument of type '\"mesage\"' is not assignable to parameter of type"),
    ('chat.call("mesage", "hello");', "Argument of type '\"mesage\"' is not assignable to parameter of type"),
    ('chat.call("confirm", "really?");', "Argument of type '\"confirm\"' is not assignable to parameter of type"),
    ('chat.call("message");', "Expected 2-3 arguments, but got 1"),
    ('chat.call("message", 5);', "Argument of type 'number' is not assignable to parameter of type 'string'"),
    ('chat.call("message", "hello", "silently");', "Argument of type '\"silently\"' is not assignable to parameter"),
    ('chat.call("message", "hello", null);', "Argument of type 'null' is not assignable to parameter"),
    ('chat.call("message", "hello", "loud", 1);', "Expected 2-3 arguments, but got 4"),
    ('same<number>(await chat.call("message", "hello"));', "Argument of type 'string' is not assignable"),
    ('chat.call("draw", { points: [{ x: 1 }] });', "Property 'y' is missing in type '{ x: number; }'"),
    ('chat.call("draw", { points: [], color: "red" });', "'color' does not exist in type 'LineInput'"),
    ('chat.call("draw", { points: [] }, { points: 5 });', "Type 'number' is not assignable to type 'readonly Point[]'"),
    ('(await chat.call("draw", { points: [] })).points;', "Object is possibly 'undefined'"),
    ('chat.call("move", [1]);', "Source has 1 element(s) but target requires 2"),
    ('chat.call("move", { x: 1, y: 2 });', "does not exist in type 'readonly [number, number]'"),
    ('(await chat.call("move", [1, 2])).z;', "Property 'z' does not exist on type 'Point'"),
    ('chat.call("order", { what: "tea", colors: ["green"] });', "Type '\"green\"' is not assignable to type"),
    ('chat.call("order", { what: "tea" });', "Property 'colors' is missing"),
    ('chat.call("order", { what: "tea", colors: [], notes: { milk: 1 } });', "Type 'number' is not assignable to type"),
    (
        'const [a, b, c] = await chat.call("order", { what: "tea", colors: [] });',
        "of length '2' has no element at index",
    ),
    ('chat.call("book", { row: 1, picture: "a" }, { name: "ada" });', "Type 'string' is not assignable to type 'Array"),
    ('chat.call("book", { row: 1 }, { name: "ada", friends: [{}] });', "Property 'name' is missing"),
    ('(await chat.call("book", { row: 1 }, { name: "ada" })).row;', "Property 'row' does not exist on type 'void'"),
    ('chat.call("upload", "a.png", "bytes");', "Argument of type 'string' is not assignable to parameter"),
    ('chat.call("anything", () => 5);', "is not assignable to parameter of type 'Value'"),
    ('admin.call("stop", "now");', "Argument of type 'string' is not assignable to parameter of type 'number'"),
    ('game.call("fold", 5);', "Argument of type '\"fold\"' is not assignable to parameter of type '\"play\"'"),
    ('chat.on("mesage", () => {});', "No overload matches this call"),
    ('chat.on("message", (name: number) => {});', "No overload matches this call"),
    ('chat.on("message", (name, text) => text.push(1));', "Property 'push' does not exist on type 'string'"),
    ('chat.on("confirm", () => "yes");', "No overload matches this call"),
    ('chat.on("line drawn", (line) => line.points[0].z);', "Property 'z' does not exist on type 'Point'"),
    ('events<ChatHeard, ChatSent>(session, { auth: { nam: "ada" } satisfies ChatAuth });', "'nam' does not exist in"),
]


@needs_compiler
def test_pages(tmp_path: Path, compiler: Compiler) -> None:
    begin = BEGIN.replace("\n", " ") + "\n"  # the first line, which is right
    files = {
        "app.d.ts": declarations([Home("/realtime/chat", "/chat", app.events)], "app:make_app"),
        "right.ts": begin + RIGHT,
        "wrong.ts": begin + "".join(f"{{ {line} }}\n" for line, _ in WRONG),
    }
    found = compiler.compiled(tmp_path, files)
    assert [each for each in found if each.file != "wrong.ts"] == []
    lines = {line: [each.text for each in found if each.line == line] for line in range(2, len(WRONG) + 2)}
    assert {each.line for each in found} <= lines.keys()
    pairs = zip(WRONG, lines.values(), strict=True)
    assert [(line, texts) for (line, told), texts in pairs if not any(told in text for text in texts)] == []


@needs_compiler
def test_the_same_without_types(tmp_path: Path, compiler: Compiler) -> None:
    """Where nothing is declared, anything may be sent and heard; also for pages in JavaScript."""
    page = 'import { events } from "aiohttp-realtime/events";\nexport {};\ndeclare const session: never;\n'
    page += 'const chat = events(session);\nchat.emit("x", 1);\nchat.on("y", (a, b) => a + b);\n'
    assert compiler.compiled(tmp_path, {"page.ts": page}) == []


@needs_compiler
def test_what_the_docs_show(tmp_path: Path, compiler: Compiler) -> None:
    """The handlers at the top of docs/events.md, what is declared below, and the page there."""
    python = [block.text for block in RUN["docs/events.md"] if block.language == "python"]
    (page,) = [block.text for block in RUN["docs/events.md"] if block.language == "ts"]
    names = {"realtime": realtime, "rt": realtime.Server()}
    for text in (python[0], python[2]):
        exec(text, names)
    types = declarations([Home("/realtime/chat", "/chat", names["events"])], "app:make_app")  # type: ignore[arg-type]
    wrong = page.replace('"hello"', "5")
    assert wrong != page
    found = compiler.compiled(tmp_path, {"events.d.ts": types, "page.ts": page, "wrong.ts": wrong})
    assert [(each.file, each.text) for each in found] == [
        ("wrong.ts", "Argument of type 'number' is not assignable to parameter of type 'string'.")
    ]
