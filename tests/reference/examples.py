"""An example for every public name, in the order of the page. All of them run, each in a place of its own.

They are what a reader types in: short, with an `assert` where a value is to be seen.
"""

from __future__ import annotations

__all__ = ["EXAMPLES", "PRELUDE"]

PRELUDE = """
import asyncio

from aiohttp import web

import realtime
import realtime.metrics
import realtime.testing

rt = realtime.Server()


@rt.endpoint("/echo")
async def echo(session: realtime.Session) -> None:
    await session.join("everybody")
    async for message in session:
        await session.send(message)


app = web.Application()
realtime.setup(app, rt)
"""


def _fault(fault: str) -> str:
    """A fault, and a session that comes through it."""
    return f"""
async with realtime.testing.FaultProxy(host, port) as proxy:
    rule = proxy.add(realtime.testing.{fault})
    async with realtime.connect(f"{{proxy.url}}/realtime/echo", attach_timeout=0.5) as session:
        await session.send("hello")
        assert await session.receive() == "hello"
"""


EXAMPLES: dict[str, str] = {
    "realtime.Server": """
rt = realtime.Server(max_size=65_536, allowed_origins=["https://example.org"])


@rt.authorize
async def who(request: realtime.SessionRequest) -> str | None:
    return request.cookies.get("user")


@rt.endpoint("/ticker", on_full="drop_oldest", max_outbox=16)
async def ticker(session: realtime.Session) -> None:
    while True:
        await session.send("tick")
        await asyncio.sleep(1.0)
""",
    "realtime.setup": """
another = web.Application()
realtime.setup(another, realtime.Server(), prefix="/live")
""",
    "realtime.get_server": """
assert realtime.get_server(app) is rt  # or get_server(request)
""",
    "realtime.tune_gc": """
async def quiet(app):
    undo = realtime.tune_gc()
    yield
    undo()


another = web.Application()
another.cleanup_ctx.append(quiet)  # behind all others
""",
    "realtime.client_url": """
script = f'<script src="{realtime.client_url(app)}"></script>'  # or client_url(request)
""",
    "realtime.Session": """
@rt.endpoint("/greeting")
async def greeting(session: realtime.Session) -> None:
    await session.send(f"hello over {session.transport}")
    name = await session.receive()
    await session.close(4000, f"bye, {name}")


async with realtime.connect(f"{base}/greeting", transports="polling") as client:
    assert await client.receive() == "hello over polling"
    await client.send("Ada")
    await client.wait_closed()
    assert (client.close_code, client.close_reason) == (4000, "bye, Ada")
""",
    "realtime.SessionRequest": """
@rt.authorize
async def who(request: realtime.SessionRequest) -> str:
    assert request.http.app is app  # aiohttp's own request, while this runs
    if request.auth != {"token": "secret"}:
        raise realtime.Unauthorized(f"no token from {request.remote}")
    return "ada"


async with realtime.connect(f"{base}/echo", auth={"token": "secret"}) as session:
    await session.send("I am in")
""",
    "realtime.Room": """
room = rt.room("everybody")
async with realtime.connect(f"{base}/echo") as ada, realtime.connect(f"{base}/echo") as grace:
    await ada.send("are you there?")  # who is answered has joined
    await grace.send("yes")
    assert [await ada.receive(), await grace.receive()] == ["are you there?", "yes"]
    assert len(room) == 2
    await room.send("hello, all", skip=[member for member in room if member.id == ada.id])
    assert await grace.receive() == "hello, all"
""",
    "realtime.Identity": """
@rt.authorize
async def who(request: realtime.SessionRequest) -> str:
    return request.auth


async with realtime.connect(f"{base}/echo", auth="ada") as one, realtime.connect(f"{base}/echo", auth="ada") as two:
    await rt.identity("ada").send("you have mail")
    assert [await one.receive(), await two.receive()] == ["you have mail"] * 2
    assert await rt.identity("ada").close(reason="signed out") == 2
    await one.wait_closed()
    assert one.close_reason == "signed out"
""",
    "realtime.SessionInfo": """
@rt.authorize
async def who(request: realtime.SessionRequest) -> str:
    return request.auth


async with realtime.connect(f"{base}/echo", auth="ada", transports="polling") as session:
    (info,) = await rt.identity("ada").sessions()
    assert (info.path, info.transport) == ("/echo", "polling")
""",
    "realtime.connect": """
async with realtime.connect(f"{base}/echo", transports=["websocket", "polling"], open_timeout=5) as session:
    await session.send("hello")
    async for message in session:
        assert message == "hello"
        break
""",
    "realtime.ClientSession": """
session = await realtime.connect(f"{base}/echo", transports=["polling", "websocket"], upgrade=False)
await session.send("hello")
await session.switch("websocket")
await session.flush()  # the server has it
assert await session.receive() == "hello"
await session.close()

# A room with history: the next session goes on where this one was. `async for session in connect(…)` does the same.
rt = realtime.Server()
rt.configure_rooms("news", history=100)


@rt.endpoint("/news")
async def news(session: realtime.Session) -> None:
    await session.join("news")
    await session.send("you have joined")
    await session.wait_closed()


async with realtime.testing.Clients() as client:
    session = await client(rt, "/realtime/news")
    assert await session.receive() == "you have joined"
    cursor = await rt.room("news").send("first")
    assert await session.receive() == "first" and session.last == ("news", cursor)
    stored = session.cursors  # {"news": cursor}: a dict of strings, that may be written to a file
    await session.close()
    await rt.room("news").send("second")
    session = await client(rt, "/realtime/news", cursors=stored)
    assert await session.receive() == "second" and session.gap is None
""",
    "realtime.State": """
async with realtime.connect(f"{base}/echo") as session:
    session.on_change(lambda event: event == "state" and print(session.state))
    assert session.state is realtime.State.OPEN
assert session.state == "closed"
""",
    "realtime.Config": """
config = realtime.Config(ping_interval=30, transports=("websocket", "polling"))
assert rt.endpoint("/quick", ping_interval=5)  # an endpoint takes the same, over what its server was given
""",
    "realtime.SockJS": """
@rt.endpoint("/sock", sockjs=realtime.SockJS(heartbeat_delay=10))
async def sock(session: realtime.Session) -> None:
    await session.send("hello, SockJS client")
""",
    "realtime.EngineIO": """
rt = realtime.Server()


@rt.endpoint("/chat", engineio=realtime.EngineIO(path="/engine.io", cookie="io"))
async def chat(session: realtime.Session) -> None:
    await session.send("hello, Engine.IO client")
""",
    "realtime.ClientNamespace": """
events = realtime.Events()
events.on("add")(lambda session, a, b: a + b)
rt.endpoint("/sums")(events)

async with realtime.connect(f"{base}/sums") as session:
    sums = session.events()

    @sums.on("news")
    async def news(text: str) -> None:
        print(text)

    assert await sums.call("add", 1, 2) == 3
    await sums.emit("add", 1, 2)  # without an answer
""",
    "realtime.SocketIO": """
rt = realtime.Server()
events = realtime.Events()
rt.endpoint("/chat", socketio=realtime.SocketIO(path="/socket.io", connect_timeout=10))(events)
""",
    "realtime.Events": """
events = realtime.Events()


@events.on("message")
async def message(session: realtime.EventSession, text: str) -> str:
    await events.room("lobby").emit("message", text, skip=session)
    return "delivered"  # the acknowledgement


rt = realtime.Server()
rt.endpoint("/chat", socketio="/socket.io")(events)
""",
    "realtime.Namespace": """
events = realtime.Events()
admin = events.namespace("/admin")


@admin.on("connect")
async def connect(session: realtime.EventSession, auth: dict) -> None:
    if auth.get("token") != "secret":
        raise realtime.Unauthorized("who are you?", data={"login": "/login"})


@admin.emits("alarm")
def alarm(where: str, level: int = 1) -> None: ...


@admin.on("fire")
async def fire(session: realtime.EventSession, where: str) -> None:
    await admin.emit(*alarm(where, level=3), skip=session)


@admin.use
async def logged(session: realtime.EventSession, event: str, args: list, proceed) -> object:
    print(event, args)
    return await proceed()
""",
    "realtime.EventSession": """
events = realtime.Events()


@events.on("connect")
async def connect(session: realtime.EventSession) -> None:
    session.data["name"] = session.auth.get("name", "somebody")
    await session.join("lobby")
    await session.emit("welcome", session.data["name"])


@events.on("order")
async def order(session: realtime.EventSession, what: str) -> str:
    if await session.call("confirm", f"{what}?", timeout=30):
        return "on its way"
    raise realtime.EventError("cancelled", code="cancelled")
""",
    "realtime.EventRoom": """
events = realtime.Events()
rt.endpoint("/events")(events)
lobby = events.room("lobby")  # rt.room("/#lobby") is the same room
await lobby.emit("news", {"of": "today"}, b"with bytes")
await lobby.emit("position", 1, 2, volatile=True)
assert await lobby.count() == 0
""",
    "realtime.STOMP": """
stomp = realtime.STOMP(tcp=("127.0.0.1", 0))


@stomp.on("/app/greet", reply="/topic/greetings")
async def greet(client: realtime.StompClient, message: realtime.StompMessage) -> str:
    return f"Hello, {message.text}!"


rt = realtime.Server()
rt.endpoint("/stomp", sockjs=True)(stomp)
await stomp.send("/topic/greetings", {"any": "JSON"})
""",
    "realtime.StompClient": """
stomp = realtime.STOMP()


@stomp.connect
async def connect(client: realtime.StompClient) -> str | None:
    if client.passcode != "secret":
        raise realtime.Unauthorized("no such login")
    client.data["since"] = client.headers.get("since")
    return client.login
""",
    "realtime.StompMessage": """
stomp = realtime.STOMP()


@stomp.on("/app/rooms/{room}/say")
async def say(client: realtime.StompClient, message: realtime.StompMessage) -> None:
    await stomp.send(f"/topic/rooms/{message.params['room']}", message.json())
""",
    "realtime.EventError": """
events = realtime.Events()


@events.on("book")
def book(session: realtime.EventSession, seat: int) -> None:
    raise realtime.EventError("the seat is taken", code="taken", data={"seat": seat})
""",
    "realtime.RealtimeError": """
try:
    async with realtime.connect(f"{base}/nowhere", open_timeout=2) as session:
        await session.send("hello")
except realtime.RealtimeError as error:
    print(f"it did not work: {error}")
""",
    "realtime.SessionClosed": """
session = await realtime.connect(f"{base}/echo")
await session.close(4000, "done")
try:
    await session.receive()
except realtime.SessionClosed as closed:
    assert (closed.code, closed.reason) == (4000, "done")
""",
    "realtime.SendBufferFull": """
async with realtime.connect(f"{base}/echo", max_outbox=1) as session:
    session.send_nowait("first")
    try:
        session.send_nowait("second")
    except realtime.SendBufferFull:
        await session.send("second")  # waits for room
""",
    "realtime.LocalProtocolError": """
try:
    realtime.Server(max_queue=3)
except realtime.LocalProtocolError as error:
    assert str(error) == "max_queue=3: takes a whole number of at least 16 and at most 2,147,483,648"
""",
    "realtime.RemoteProtocolError": """
error = realtime.RemoteProtocolError(1009, "the message is too large")  # as a session ends with
assert (error.close_code, error.http_status) == (1009, 413)
""",
    "realtime.NegotiationError": """
try:
    await realtime.connect(f"{base}/nowhere", transports="polling", open_timeout=2)
except realtime.NegotiationError as error:
    assert "polling" in error.attempts
""",
    "realtime.Refusal": """
@rt.authorize
async def who(request: realtime.SessionRequest) -> str:
    raise realtime.Refusal(4429, "too many from your company", retry_after=60)  # or Unauthorized
""",
    "realtime.Unauthorized": """
@rt.authorize
async def who(request: realtime.SessionRequest) -> str:
    raise realtime.Unauthorized("members only", status=403)


try:
    await realtime.connect(f"{base}/echo", open_timeout=2)
except realtime.NegotiationError as error:
    assert "members only" in str(error)
""",
    "realtime.BrokerError": """
try:
    async with realtime.Publisher("redis://127.0.0.1:9", broker_timeout=0.2) as publisher:  # where no Redis is
        await publisher.send("everybody", "hello")
except realtime.BrokerError as error:
    assert not error.maybe_sent
""",
    "realtime.RedisBroker": """
rt = realtime.Server(broker=realtime.RedisBroker("redis://localhost/0", prefix="chat:"))
rt.configure_rooms("chat/*", history=1000, ttl=86_400, presence=True)
""",
    "realtime.WebTransport": """
import tempfile

rt = realtime.Server()


@rt.endpoint("/hello")
async def hello(session: realtime.Session) -> None:
    await session.send("hello")


with tempfile.TemporaryDirectory() as folder:
    made = realtime.testing.make_certificate(folder)  # in production: your domain's, the same as for HTTPS
    another = web.Application()
    realtime.setup(
        another,
        rt,
        webtransport=realtime.WebTransport(port=0, certificate=made.certificate, key=made.key),
    )
    async with realtime.testing.serve(another) as server:
        url = server.make_url("/realtime/hello")
        async with realtime.connect(url, transports=["webtransport", "websocket", "polling"]) as session:
            assert await session.receive() == "hello"
""",
    "realtime.Cluster": """
rt = realtime.Server(
    broker="redis://localhost/0",
    cluster=realtime.Cluster(secret="drawn by secrets.token_urlsafe(32)", listen="unix:/run/chat/"),
)
""",
    "realtime.MemoryBroker": """
rt = realtime.Server(broker=realtime.MemoryBroker())  # for tests, or several servers in one process
""",
    "realtime.Publisher": """
broker = realtime.MemoryBroker()  # for this example: a process of its own has "redis://…"
async with realtime.Publisher(broker) as publisher:
    cursor = await publisher.send("everybody", "the build is done")
    assert isinstance(cursor, str)
    await publisher.identity("ada").send("your build is done")
""",
    "realtime.BlockingPublisher": """
with realtime.BlockingPublisher(realtime.MemoryBroker()) as publisher:
    publisher.send("everybody", "the build is done")
""",
    "realtime.BlockingIdentity": """
with realtime.BlockingPublisher(realtime.MemoryBroker()) as publisher:
    publisher.identity("ada").send("your build is done")
    assert publisher.identity("ada").close() == 0  # no worker has a session of hers
""",
    "realtime.History": """
rt = realtime.Server()
rt.configure_rooms("news", history=100)
async with realtime.testing.serve(rt):
    await rt.room("news").send("first")
    cursor = await rt.room("news").send("second")
    history = await rt.room("news").history()
    assert [message for _, message in history.messages] == ["first", "second"]
    assert history.cursor == cursor and not history.gap
""",
    "realtime.Change": """
rt = realtime.Server()
rt.configure_rooms("chat/*", presence=True)


async def announce() -> None:
    async for change in rt.room("chat/1").watch_members():
        print(change.member, change.what, change.info.get("name"))
""",
    "realtime.Health": """
health = rt.health()
assert health.ready and health.problems == ()
""",
    "realtime.readiness": """
app = web.Application()
app.router.add_get("/ready", realtime.readiness(rt))
""",
    "realtime.testing.serve": """
async with realtime.testing.serve(realtime.Server()) as server:
    assert server.make_url("/realtime").scheme == "http"
""",
    "realtime.testing.Clients": """
rt = realtime.Server()


@rt.endpoint("/hello")
async def hello(session: realtime.Session) -> None:
    await session.send("hello")


async with realtime.testing.Clients() as client:
    session = await client(rt, "/realtime/hello", transports="polling")
    assert await session.receive() == "hello"
""",
    "realtime.testing.make_certificate": """
import tempfile

with tempfile.TemporaryDirectory() as folder:
    made = realtime.testing.make_certificate(folder)
    assert made.certificate.exists() and made.key.exists()
""",
    "realtime.testing.MadeCertificate": """
import tempfile

with tempfile.TemporaryDirectory() as folder:
    made = realtime.testing.make_certificate(folder)
    options = {"serverCertificateHashes": [{"algorithm": "sha-256", "value": list(made.digest)}]}  # of a page
""",
    "realtime.testing.UdpFaultProxy": """
from random import Random

async with realtime.testing.UdpFaultProxy(host, 4433, loss=0.1, reorder=0.2, random=Random(1)) as udp:
    assert udp.port != 4433  # what WebTransport(public_port=…) tells clients
    udp.cut()  # who was there is cut off; who comes again passes
""",
    "realtime.testing.VirtualClock": """
clock = realtime.testing.VirtualClock()
rt = realtime.Server(clock=clock, resume_window=60)
clock.advance(61.0)  # a minute goes by at once
assert clock.now() == 61.0
""",
    "realtime.testing.FaultProxy": """
from random import Random

async with realtime.testing.FaultProxy(host, port, latency=0.01, jitter=0.005, random=Random(1)) as proxy:
    async with realtime.connect(f"{proxy.url}/realtime/echo") as session:
        await session.send("hello from far away")
        proxy.cut()  # the session goes on over another connection
        assert await session.receive() == "hello from far away"
""",
    "realtime.testing.Rule": """
async with realtime.testing.FaultProxy(host, port) as proxy:
    rule = proxy.add(realtime.testing.StripUpgrade(times=1))
    async with realtime.connect(f"{proxy.url}/realtime/echo"):
        await rule.wait_fired()
    assert rule.fired == 1
    rule.remove()
""",
    "realtime.testing.ProxyEvent": """
async with realtime.testing.FaultProxy(host, port) as proxy:
    async with realtime.connect(f"{proxy.url}/realtime/echo"):
        print(*proxy.log, sep="\\n")  # ProxyEvents
""",
    "realtime.testing.ProxiedRequest": """
def posts(request: realtime.testing.ProxiedRequest) -> bool:
    return request.method == "POST" and request.path.startswith("/realtime/")


fault = realtime.testing.DropResponse(match=posts, times=1)
""",
    "realtime.testing.Headers": """
headers = realtime.testing.Headers([("Connection", "keep-alive, Upgrade")])
assert headers["connection"] == "keep-alive, Upgrade"
assert headers.has_token("Connection", "upgrade")
""",
    "realtime.testing.Fault": """
# Of the POSTs the first passes, and of the others each third is lost, twice in all.
fault = realtime.testing.DropRequest(match=lambda request: request.method == "POST", skip=1, every=3, times=2)
""",
    "realtime.testing.RefuseWebSocket": _fault("RefuseWebSocket(status=403)"),
    "realtime.testing.StripUpgrade": _fault("StripUpgrade()"),
    "realtime.testing.HangWebSocket": _fault("HangWebSocket()"),
    "realtime.testing.ResetWebSocket": _fault("ResetWebSocket()"),
    "realtime.testing.KillWebSocket": _fault("KillWebSocket(after_frames=2, times=1)"),
    "realtime.testing.BlackHole": _fault('BlackHole(direction="to_client", after_bytes=0, times=1)'),
    "realtime.testing.Cut": _fault("Cut(after_bytes=100, times=1)"),
    "realtime.testing.Lag": _fault("Lag(seconds=0.01)"),
    "realtime.testing.DelayRequest": _fault("DelayRequest(seconds=0.05, times=1)"),
    "realtime.testing.DropRequest": _fault('DropRequest(end="rst", times=1)'),
    "realtime.testing.TruncateRequest": _fault("TruncateRequest(keep=10, times=1)"),
    "realtime.testing.RepeatRequest": _fault("RepeatRequest(times=1)"),
    "realtime.testing.ReorderRequests": _fault("ReorderRequests(max_hold=0.2, times=1)"),
    "realtime.testing.HoldResponse": _fault("HoldResponse(seconds=0.05, times=1)"),
    "realtime.testing.DropResponse": _fault("DropResponse(times=1)"),
    "realtime.testing.TruncateResponse": _fault("TruncateResponse(keep=10, times=1)"),
    "realtime.testing.Answer": _fault('Answer(status=503, headers=(("Retry-After", "0"),), times=1)'),
    "realtime.metrics.setup": """
inner = web.Application()  # on a port of its own, say
metrics = realtime.metrics.setup(inner, rt)
""",
    "realtime.metrics.Metrics": """
from prometheus_client import CollectorRegistry

registry = CollectorRegistry()  # or prometheus_client.REGISTRY
realtime.metrics.Metrics(rt, registry=registry)
assert registry.get_sample_value("realtime_sessions_current") is None  # no sessions yet
""",
}
