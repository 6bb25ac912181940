"""The front of several replicas: real applications in this process behind it, and some that misbehave."""

import asyncio
import io
import json
import zipfile
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import pytest

from strokewise.inference.painter import Painter
from strokewise.serve import gathering
from strokewise.serve.app import make_app
from strokewise.serve.front import Front
from strokewise.serve.gathering import Answer
from strokewise.serve.limits import Limits
from strokewise.serve.security import Guard, Keys
from strokewise.serve.tunnel import TAKEN, FarEnd, LostError

SHORT = {"steps": 1, "max_tokens": 4, "max_images": 1}


class Here(FarEnd):
    """A replica in this process, as busy as a test wants it."""

    def __init__(self, app, busy=0):
        super().__init__(app)
        self.busy, self.lost = busy, False

    async def answer(self, scope, body):
        if self.lost:
            raise LostError
        async for message in super().answer(scope, body):
            yield message

    async def load(self):
        if self.lost:
            raise LostError
        return self.busy


@pytest.fixture(scope="module")
def painter(tiny_folder):
    return Painter.load(tiny_folder)


@pytest.fixture
def front(painter, tmp_path):
    """Two replicas with room for ``sessions`` each, and a client of both."""

    @asynccontextmanager
    async def start(sessions=50):
        keys, limits = Keys(["first-secret"]), Limits(sessions=sessions)
        async with AsyncExitStack() as stack:
            replicas = []
            for number in range(2):
                app = make_app(painter, tmp_path / str(number), keys, 1, limits, number)
                await stack.enter_async_context(app.router.lifespan_context(app))
                replicas.append(Here(app))
            guarded = Guard(Front(replicas), keys, limits.body)
            client = httpx.AsyncClient(
                transport=httpx.ASGITransport(guarded),
                base_url="http://localhost",
                headers={"Authorization": "Bearer first-secret"},
            )
            yield await stack.enter_async_context(client), replicas

    return start


async def create(client, prompt="a", **headers):
    answer = await client.post("/v1/sessions", json={"prompt": prompt, "options": SHORT}, headers=headers)
    assert answer.is_success, answer.text
    return answer.json()["id"]


def run(test):
    """A coroutine as a test."""

    def call(front):
        asyncio.run(test(front))

    return call


@run
async def test_sessions_go_to_the_idle_replica_and_are_found_there(front):
    async with front() as (client, replicas):
        replicas[0].busy = 3
        other = await create(client)
        replicas[1].busy = 4
        one = await create(client)
        assert (other[:4], one[:4]) == ("s_1_", "s_0_")
        for session in (one, other):
            assert (await client.get(f"/v1/sessions/{session}")).json()["id"] == session
            copy = (await client.post(f"/v1/sessions/{session}/copy", json={})).json()["id"]
            assert copy[:4] == session[:4]
        assert replicas[0].app.state.parts.manager.registry.get(
            Keys(["first-secret"]).owner("first-secret"), one
        )
        for path in ("s_0_0123456789abcdef", "nothing", "s_1_"):
            assert (await client.get(f"/v1/sessions/{path}")).status_code == 404
        beyond = await client.get("/v1/sessions/s_7_0123456789abcdef/events")
        assert (beyond.status_code, "more --replicas" in beyond.text) == (404, True)


@run
async def test_keys_are_asked_for_at_the_front(front):
    async with front() as (client, replicas):
        assert (await client.get("/v1/server", headers={"Authorization": "Bearer wrong"})).status_code == 401
        login = await client.post("/v1/login", json={"key": "first-secret"})
        client.headers.pop("authorization")
        client.cookies = login.cookies
        for busy in (0, 2):  # the cookie of one is good at the other
            replicas[0].busy = busy
            assert (await client.get("/v1/models")).status_code == 200
        assert (await client.get("/health")).text == "ok"
        assert (await client.post("/v1/sessions", content=b"x" * (33 << 20))).status_code in (401, 413)


@run
async def test_lists_are_of_all_replicas_the_newest_first(front):
    async with front() as (client, replicas):
        made = []
        for number in range(7):
            replicas[0].busy = number % 3
            replicas[1].busy = 1
            made.append(await create(client, f"{number}"))
        assert {session[:4] for session in made} == {"s_0_", "s_1_"}
        whole = (await client.get("/v1/sessions")).json()
        assert ([one["id"] for one in whole["sessions"]], whole["more"]) == (made[::-1], False)
        found, last = [], None
        while True:
            query = {"limit": 2} | ({} if last is None else {"before": last})
            page = (await client.get("/v1/sessions", params=query)).json()
            found += [one["id"] for one in page["sessions"]]
            last = found[-1]
            if not page["more"]:
                break
        assert found == made[::-1]
        some = (await client.get("/v1/sessions", params={"q": "3"})).json()["sessions"]
        assert [one["id"] for one in some] == [made[3]]
        assert (await client.get("/v1/sessions", params={"limit": 0})).status_code == 422
        assert (
            await client.get("/v1/sessions", params={"before": "s_0_0123456789abcdef"})
        ).status_code == 404


@run
async def test_a_full_replica_leaves_it_to_another(front):
    async with front(sessions=1) as (client, _):
        made = {(await create(client))[:4] for _ in range(2)}
        assert made == {"s_0_", "s_1_"}
        answer = await client.post("/v1/sessions", json={"prompt": "a"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "too_many_sessions")


@run
async def test_an_idempotency_key_leads_to_one_replica(front):
    async with front() as (client, replicas):
        found = set()
        for key in map(str, range(6)):
            one = await create(client, **{"Idempotency-Key": key})
            replicas[0].busy, replicas[1].busy = replicas[1].busy + 1, replicas[0].busy
            assert await create(client, **{"Idempotency-Key": key}) == one
            found.add(one[:4])
        assert len(found) == 2


@run
async def test_a_lost_replica_leaves_the_others_untouched(front):
    async with front() as (client, replicas):
        one = await create(client)
        replicas[0].busy = 9
        other = await create(client)
        replicas[0].lost = True
        answer = await client.get(f"/v1/sessions/{one}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "replica_lost")
        assert answer.headers["retry-after"]
        assert (await client.get(f"/v1/sessions/{other}")).status_code == 200
        listed = (await client.get("/v1/sessions")).json()["sessions"]
        assert [session["id"] for session in listed] == [other]
        replicas[0].busy = 0
        assert (await create(client))[:4] == "s_1_"
        assert (await client.get("/v1/sessions", params={"before": one})).status_code == 503
        for path in ("/v1/records", "/v1/records/export"):  # a part would look like all
            assert (await client.get(path)).status_code == 503
        replicas[1].lost = True
        for path in ("/health", "/v1/server", "/"):
            assert (await client.get(path)).status_code == 503


@run
async def test_records_and_numbers_are_of_all_replicas(front):
    async with front() as (client, replicas):
        assert (await client.get("/v1/records/export")).status_code == 409
        owner = Keys(["first-secret"]).owner("first-secret")
        for number, replica in enumerate(replicas):
            value = {"id": f"r_{number}", "subset": "conflict", "label": "wrong", "what": "", "session": "s"}
            store = replica.app.state.parts.manager.registry.store
            text = json.dumps(value | {"node": 0, "created": 9.0 - number})
            store.put_record(f"r_{number}", owner, "conflict", text, b"{}")
        found = (await client.get("/v1/records")).json()
        assert (found["conflict"], [one["id"] for one in found["records"]]) == (2, ["r_1", "r_0"])
        assert (await client.delete("/v1/records/r_1")).status_code == 204
        assert (await client.delete("/v1/records/r_1")).status_code == 404
        text = (await client.get("/metrics")).text
        assert 'strokewise:num_requests_running{replica="1"} 0.0' in text
        assert text.count("# TYPE strokewise:num_requests_running") == 1
        server = (await client.get("/v1/server")).json()
        assert server["queue"] == {"running": 0, "waiting": 0}


def test_data_sets_lie_side_by_side():
    def part(name):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr(f"conflict/{name}", name)
        return Answer(200, [(b"content-length", b"7")], buffer.getvalue())

    merge = gathering.rule("GET", "/v1/records/export").merge
    answer = merge({0: part("a"), 2: part("b")}, {})
    with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
        assert archive.namelist() == ["conflict/0/a", "conflict/2/b"]
    assert answer.response().headers["content-length"] == str(len(answer.body))


# --- replicas that misbehave --------------------------------------------------------------------------------

SCOPE = {"type": "http", "method": "GET", "path": "/v1/models", "headers": [], "query_string": b""}
BEGIN = {"type": "http.response.start", "status": 200, "headers": []}


async def asked(front, disconnect=None):
    """What a server would send for a request."""
    sent, read = [], False

    async def receive():
        nonlocal read
        if read:
            await (disconnect or asyncio.Event()).wait()
            return {"type": "http.disconnect"}
        read = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    await front(dict(SCOPE), receive, send)
    return sent


class Fake:
    """A replica that says what it was given, and then waits or ends."""

    def __init__(self, *messages, waits=False, loses=False):
        self.messages, self.waits, self.loses, self.closed = messages, waits, loses, False

    async def load(self):
        return 0

    async def answer(self, scope, body):
        try:
            for message in self.messages:
                yield message
            if self.waits:
                await asyncio.Event().wait()
            if self.loses:
                raise LostError
        finally:
            self.closed = True


def piece(text, more=True):
    return {"type": "http.response.body", "body": text, "more_body": more}


@pytest.mark.parametrize("fake", [Fake(waits=True), Fake(TAKEN), Fake(TAKEN, loses=True), Fake()])
def test_a_replica_that_never_answers(fake):
    start, _ = asyncio.run(asked(Front([fake], patience=0.05)))
    assert start["status"] == 503
    assert fake.closed


@pytest.mark.parametrize("loses", [True, False])
def test_a_response_that_is_cut_is_not_ended(loses):
    """The server then cuts the connection; an end would say that this was all."""
    sent = asyncio.run(asked(Front([Fake(TAKEN, BEGIN, piece(b"half"), loses=loses)])))
    assert [message.get("body") for message in sent] == [None, b"half"]
    assert sent[-1]["more_body"]


def test_a_replica_hears_that_nobody_reads_on():
    async def test():
        fake, disconnect = Fake(TAKEN, BEGIN, piece(b"first"), waits=True), asyncio.Event()
        asyncio.get_running_loop().call_later(0.05, disconnect.set)
        sent = await asked(Front([fake]), disconnect)
        assert b"first" in [message.get("body") for message in sent]
        assert fake.closed

    asyncio.run(test())


def test_an_application_hears_that_nobody_reads_on():
    async def test():
        heard = asyncio.Event()

        async def app(scope, receive, send):
            assert (await receive())["body"] == b"body"
            await send(BEGIN)
            assert (await receive())["type"] == "http.disconnect"
            heard.set()

        messages = FarEnd(app).answer(SCOPE, b"body")
        assert [await anext(messages), await anext(messages)] == [TAKEN, BEGIN]
        await messages.aclose()
        await asyncio.wait_for(heard.wait(), 5)

    asyncio.run(test())


def test_an_application_that_fails_has_no_end(caplog):
    async def app(scope, receive, send):
        await send(BEGIN)
        raise ValueError("broken")

    async def test():
        return [message async for message in FarEnd(app).answer(SCOPE, b"")]

    assert asyncio.run(test()) == [TAKEN, BEGIN]
    assert "the application failed at GET /v1/models" in caplog.text
