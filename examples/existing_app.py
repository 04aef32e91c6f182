"""Realtime in an application that has users already: its own login cookie says who a session is.

    python examples/existing_app.py

Open http://127.0.0.1:8080/ in two browsers and sign in as ada (password: lovelace) or grace (hopper). Signing out
closes all sessions of that user, in every browser, at once.
"""

import hmac
import html
import secrets

from aiohttp import web

import realtime

# -- the application as it was ---------------------------------------------------------------------------------------

USERS = {"ada": "lovelace", "grace": "hopper"}  # yours has hashes, and a database
SIGNED_IN: dict[str, str] = {}  # cookie -> user

LOGIN = """<!doctype html><meta charset="utf-8"><title>Sign in</title><form method="post" action="/login">
<input name="user" placeholder="Name" autofocus> <input name="password" type="password" placeholder="Password">
<button>Sign in</button></form>"""

HOME = """<!doctype html><meta charset="utf-8"><title>Notes</title>
<p>You are {user}. <form method="post" action="/logout"><button>Sign out everywhere</button></form>
<form id="note"><input name="text" autocomplete="off"> <button>Note</button></form><ul id="notes"></ul>
<script src="{client}"></script>
<script>
  const session = new Realtime("/realtime/notes", {{ reopen: true }}); // the browser sends the cookie along
  session.onmessage = ({{ data }}) => {{
    const note = document.createElement("li");
    note.textContent = data;
    document.getElementById("notes").append(note);
  }};
  session.onclose = ({{ code }}) => code === 4401 && location.reload(); // signed out, here or elsewhere
  document.getElementById("note").onsubmit = (event) => {{
    event.preventDefault();
    session.send(event.target.elements.text.value);
    event.target.reset();
  }};
</script>"""


async def home(request: web.Request) -> web.Response:
    user = SIGNED_IN.get(request.cookies.get("login", ""))
    if user is None:
        return web.Response(text=LOGIN, content_type="text/html")
    text = HOME.format(user=html.escape(user), client=realtime.client_url(request))
    return web.Response(text=text, content_type="text/html")


async def login(request: web.Request) -> web.Response:
    form = await request.post()
    user, password = str(form.get("user", "")), str(form.get("password", ""))
    if not hmac.compare_digest(password.encode(), USERS.get(user, secrets.token_hex()).encode()):
        raise web.HTTPForbidden(text="Name or password are wrong.")
    response = web.HTTPSeeOther("/")
    cookie = secrets.token_urlsafe()
    SIGNED_IN[cookie] = user
    response.set_cookie("login", cookie, httponly=True, samesite="Lax")
    raise response


async def logout(request: web.Request) -> web.Response:
    user = SIGNED_IN.get(request.cookies.get("login", ""))
    if user is not None:
        for cookie in [cookie for cookie, name in SIGNED_IN.items() if name == user]:
            del SIGNED_IN[cookie]
        await rt.identity(user).close(reason="signed out")  # after the cookies: nobody gets in again
    raise web.HTTPSeeOther("/")


# -- what realtime adds ----------------------------------------------------------------------------------------------

rt = realtime.Server(max_sessions_per_identity=10)


@rt.authorize
async def who(request: realtime.SessionRequest) -> str:
    user = SIGNED_IN.get(request.cookies.get("login", ""))
    if user is None:
        raise realtime.Unauthorized("sign in first")
    return user


@rt.endpoint("/notes")
async def notes(session: realtime.Session) -> None:
    room = f"notes of {session.identity}"
    await session.join(room)  # all tabs and browsers of this user
    async for text in session:
        await rt.room(room).send(text)


def make_app() -> web.Application:
    app = web.Application()
    app.add_routes([web.get("/", home), web.post("/login", login), web.post("/logout", logout)])
    realtime.setup(app, rt)
    return app


if __name__ == "__main__":
    web.run_app(make_app(), host="127.0.0.1", port=8080)
