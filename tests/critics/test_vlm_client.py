"""Queries to a vision model: against a real server that also misbehaves."""

import base64
import io
import json
import logging
import time
import traceback
import tracemalloc
from email.utils import formatdate
from typing import Annotated

import pytest
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field
from tests.critics import judge_server as fake

from strokewise.critics import vlm_client
from strokewise.critics.vlm_client import VlmClient
from strokewise.errors import ConfigError, ServiceError
from strokewise.io.services import QueryLimits

server, make_client = fake.server, fake.make_client


class Word(BaseModel):
    model_config = ConfigDict(extra="forbid")
    word: str


def red():
    return Image.new("RGB", (8, 8), (255, 0, 0))


def test_question_answer_and_picture(server, make_client):
    server.always = {"word": "yes"}
    client = make_client()
    assert client.query("say a word", "which?", Word, [red()]) == Word(word="yes")
    sent = server.requests[0]
    assert (sent["path"], sent["model"], sent["key"]) == (
        "/v1/chat/completions",
        "judge-1",
        "Bearer secret-key",
    )
    schema = sent["response_format"]["json_schema"]
    assert schema["strict"]
    assert schema["schema"] == Word.model_json_schema()
    system, user = sent["messages"]
    assert system == {"role": "system", "content": "say a word"}
    assert user["content"][0] == {"type": "text", "text": "which?"}
    head, _, data = user["content"][1]["image_url"]["url"].partition(",")
    assert head == "data:image/png;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).getpixel((3, 3)) == (255, 0, 0)
    assert (client.requests, client.tokens) == (1, 100)


@pytest.mark.parametrize("bad", ["no JSON at all", '{"word": 3}', "{}", '{"word": "a", "more": 1}', ""])
def test_malformed_answers_are_asked_again(server, make_client, bad):
    server.script, server.always = [bad], {"word": "yes"}
    client = make_client()
    assert client.query("task", "text", Word).word == "yes"
    assert len(server.requests) == 2
    messages = server.requests[1]["messages"]
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user"]
    assert messages[2]["content"] == bad
    assert "not an answer of the schema" in messages[3]["content"]
    assert client.pauses == []


def test_answers_that_never_fit_are_an_error(server, make_client):
    server.always = {"words": "yes"}
    with pytest.raises(ServiceError, match="gave 3 answers that are not of the schema"):
        make_client().query("task", "text", Word)
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    "failure",
    [
        fake.status(500),
        fake.status(503),
        fake.status(429),
        fake.status(408),
        fake.cut,
        fake.garbage(b"<html>busy</html>"),
        fake.garbage(b'{"object": "nothing"}'),
        fake.garbage(b'{"choices": []}'),
    ],
)
def test_failures_are_tried_again(server, make_client, failure):
    server.script, server.always = [failure, failure], {"word": "yes"}
    client = make_client()
    assert client.query("task", "text", Word).word == "yes"
    assert len(server.requests) == 3
    first, second = client.pauses
    assert 0.37 <= first <= 0.5
    assert 0.75 <= second <= 1


def test_the_servers_pause_is_kept(server, make_client):
    server.script = [fake.status(429, Retry_After="7"), fake.status(429, Retry_After="60")]
    server.always = {"word": "yes"}
    client = make_client()
    client.query("task", "text", Word)
    assert client.pauses == [7, 60]


def test_a_server_that_wants_a_long_pause_is_left_alone(server, make_client):
    server.always = fake.status(429, Retry_After="900")
    with pytest.raises(ServiceError, match=r"is busy .status 429.*asks for a pause of 900 seconds"):
        make_client().query("task", "text", Word)
    assert len(server.requests) == 1


def test_the_servers_pause_may_be_a_date(server, make_client):
    server.script = [
        fake.status(429, Retry_After=formatdate(time.time() + 30, usegmt=True)),
        fake.status(503, Retry_After="Wed, 21 Oct 2015 07:28:00 GMT"),
    ]
    server.always = {"word": "yes"}
    client = make_client()
    client.query("task", "text", Word)
    later, gone = client.pauses
    assert 25 < later <= 30
    assert gone <= 1


@pytest.mark.parametrize("odd", ["soon", "\u00b2", "-", "Wed, 99 Oct 2015 07:28:00 GMT", ""])
def test_pauses_that_say_nothing(server, make_client, odd):
    server.script, server.always = [fake.status(429, Retry_After=odd)], {"word": "yes"}
    client = make_client()
    client.query("task", "text", Word)
    assert 0.37 <= client.pauses[0] <= 0.5


def test_pauses_grow_up_to_a_limit(server, make_client):
    server.always = fake.status(500)
    client = make_client(attempts=7)
    with pytest.raises(ServiceError, match="failed 7 times, last with status 500"):
        client.query("task", "text", Word)
    assert len(server.requests) == 7
    assert all(
        0.7 * top < pause <= top for top, pause in zip((0.5, 1, 2, 4, 8, 8), client.pauses, strict=True)
    )


def test_timeouts_are_tried_again(server, make_client):
    server.script, server.always = [fake.slow(1.0, {"word": "late"})], {"word": "yes"}
    assert make_client(timeout=0.3).query("task", "text", Word).word == "yes"


@pytest.mark.parametrize("code", [400, 401, 403, 404])
def test_refusals_are_final(server, make_client, code):
    server.always = fake.status(code)
    with pytest.raises(ServiceError, match=f"refused .status {code}") as caught:
        make_client().query("task", "text", Word)
    assert len(server.requests) == 1
    assert "secret-key" not in str(caught.value)


@pytest.mark.parametrize("code", [401, 500])
def test_keys_that_the_server_quotes_are_not_shown(server, make_client, code):
    def quote(handler, body):
        handler.send(code, {"error": {"message": f"wrong key {handler.headers['Authorization']}"}})

    server.always = quote
    with pytest.raises(ServiceError, match=r"wrong key Bearer \[key\]") as caught:
        make_client(attempts=2).query("task", "text", Word)
    assert "secret-key" not in "".join(traceback.format_exception(caught.value))


def test_nobody_is_there():
    client = VlmClient("judge-1", "http://127.0.0.1:9/v1", "key", limits=QueryLimits(attempts=2))
    with pytest.raises(ServiceError, match="failed 2 times, last with APIConnectionError"):
        client.query("task", "text", Word)


def test_no_key(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ConfigError, match="OPENAI_API_KEY"):
        VlmClient("judge-1")


def test_no_more_is_spent_than_allowed(server, make_client):
    server.always = {"word": "yes"}
    few = make_client(requests=2)
    few.query("task", "1", Word), few.query("task", "2", Word)
    with pytest.raises(ServiceError, match="limit of 2 requests is reached"):
        few.query("task", "3", Word)
    cheap = make_client(tokens=150)
    cheap.query("task", "1", Word), cheap.query("task", "2", Word)
    with pytest.raises(ServiceError, match="limit of 150 tokens is reached"):
        cheap.query("task", "3", Word)
    assert len(server.requests) == 4


def test_retries_count_as_requests(server, make_client):
    server.always = fake.status(500)
    with pytest.raises(ServiceError, match="limit of 3 requests is reached"):
        make_client(requests=3).query("task", "text", Word)
    assert len(server.requests) == 3


def test_tokens_that_nobody_counts_cannot_be_limited(server, make_client):
    def uncounted(handler, body):
        choice = {"index": 0, "message": {"role": "assistant", "content": '{"word": "yes"}'}}
        handler.send(200, {"id": "1", "choices": [choice]})

    server.always = uncounted
    assert make_client(requests=1).query("task", "text", Word).word == "yes"
    with pytest.raises(ServiceError, match="does not state how many tokens"):
        make_client(tokens=1000).query("task", "text", Word)
    assert len(server.requests) == 2


def test_limits_that_would_never_ask():
    with pytest.raises(ConfigError, match="answers is 0"):
        QueryLimits(answers=0)


def test_an_answer_is_paid_for_once(server, make_client, tmp_path):
    server.always = {"word": "yes"}
    make_client(tmp_path).query("task", "text", Word, [red()])
    again = make_client(tmp_path)
    assert again.query("task", "text", Word, [red()]).word == "yes"
    assert (len(server.requests), again.requests) == (1, 0)
    again.query("task", "text", Word, [Image.new("RGB", (8, 8), (254, 0, 0))])
    again.query("task", "another text", Word, [red()])
    again.query("another task", "text", Word, [red()])
    assert len(server.requests) == 4
    stored = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(stored) == 4
    assert not any("secret-key" in text for text in stored)


@pytest.mark.parametrize("damage", [b"", b"{", b'{"word": 1}', b"\xff\xfe"])
def test_damaged_answers_are_asked_for_again(server, make_client, tmp_path, damage):
    server.always = {"word": "yes"}
    make_client(tmp_path).query("task", "text", Word)
    (stored,) = tmp_path.rglob("*.json")
    whole = stored.read_bytes()
    stored.write_bytes(damage)
    assert make_client(tmp_path).query("task", "text", Word).word == "yes"
    assert len(server.requests) == 2
    assert stored.read_bytes() == whole


def test_a_cache_that_cannot_be_written(server, make_client, tmp_path):
    server.always = {"word": "yes"}
    (tmp_path / "file").write_text("")
    with pytest.raises(ServiceError, match="cannot be written"):
        make_client(tmp_path / "file" / "cache").query("task", "text", Word)


def test_many_at_once_but_not_more_than_allowed(server, make_client):
    def echo(handler, body):
        text = body["messages"][1]["content"][0]["text"]
        fake.slow(0.02 * (int(text) % 3), {"word": text})(handler, body)

    server.always = echo
    client = make_client(concurrent=3)
    words = list(client.map(lambda n: client.query("task", str(n), Word).word, range(20)))
    assert words == [str(n) for n in range(20)]
    assert 1 < server.busiest <= 3


def test_the_same_question_at_once_is_paid_for_once(server, make_client, tmp_path):
    server.always = fake.slow(0.1, {"word": "yes"})
    client = make_client(tmp_path, concurrent=4)
    assert list(client.map(lambda _: client.query("task", "text", Word).word, range(8))) == ["yes"] * 8
    assert len(server.requests) == 1


def test_an_error_ends_the_others(server, make_client):
    server.always = fake.status(401)
    client = make_client(concurrent=2)
    with pytest.raises(ServiceError, match="refused"):
        list(client.map(lambda n: client.query("task", str(n), Word), range(100)))
    assert len(server.requests) < 10


# --- services that misbehave --------------------------------------------------------------------------------


def test_a_slow_drip_ends(server, make_client):
    server.always = fake.drip(0.02)
    start = time.monotonic()
    with pytest.raises(ServiceError, match=r"failed 2 times.*no whole answer within 0\.3 seconds"):
        make_client(timeout=0.3, attempts=2).query("task", "text", Word)
    assert time.monotonic() - start < 5


def test_a_slow_drip_of_headers_ends(server, make_client):
    server.always = fake.drip_headers(0.02)
    start = time.monotonic()
    with pytest.raises(ServiceError, match=r"no whole answer within 0\.3 seconds"):
        make_client(timeout=0.3, attempts=1).query("task", "text", Word)
    assert time.monotonic() - start < 5


def test_an_answer_without_a_length_that_is_cut_at_the_deadline_is_not_used(server, make_client):
    server.script, server.always = [fake.endless({"word": "half"})], {"word": "yes"}
    assert make_client(timeout=0.3).query("task", "text", Word).word == "yes"


@pytest.mark.parametrize("encoding", [None, "gzip", "deflate"])
def test_large_bodies_are_not_read_to_the_end(server, make_client, monkeypatch, encoding):
    monkeypatch.setattr(vlm_client, "MAX_BYTES", 100_000)
    server.always = fake.flood(200_000_000, encoding)
    tracemalloc.start()
    with pytest.raises(ServiceError, match="larger than 100,000 bytes"):
        make_client(attempts=1).query("task", "text", Word)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 50_000_000
    server.always = {"word": "yes"}
    assert make_client().query("task", "text", Word).word == "yes"


def test_compressed_answers_are_read(server, make_client):
    server.always = fake.compressed({"word": "yes"})
    assert make_client().query("task", "text", Word).word == "yes"


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip"])
def test_bodies_of_an_unknown_or_wrong_encoding(server, make_client, encoding):
    server.always = fake.garbage(b"damaged", Content_Encoding=encoding)
    with pytest.raises(ServiceError, match=r"the answer is (encoded as|damaged)"):
        make_client(attempts=1).query("task", "text", Word)


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(server, make_client, code):
    with fake.serving() as other:
        other.always = {"word": "stolen"}
        server.always = fake.status(code, Location=f"{other.url}/chat/completions")
        with pytest.raises(ServiceError, match=f"status {code}.*redirects are not followed"):
            make_client().query("task", "text", Word)
        assert other.requests == []
    assert len(server.requests) == 1


@pytest.mark.parametrize("count", [-5, -(10**30), 1.5, "many", None, [100]])
def test_token_counts_that_cannot_be(server, make_client, count):
    server.always = fake.completion({"word": "yes"}, tokens=count)
    lenient = make_client()
    assert lenient.query("task", "text", Word).word == "yes"
    assert lenient.tokens == 0
    with pytest.raises(ServiceError, match="does not state how many tokens"):
        make_client(tokens=1000).query("task", "text", Word)


@pytest.mark.parametrize("content", [3, ["a"], {"a": 1}, True])
def test_contents_that_are_no_text(server, make_client, content):
    server.always = fake.with_content(content)
    with pytest.raises(ServiceError, match="not a chat completion"):
        make_client(attempts=1).query("task", "text", Word)


def test_answers_in_parts_and_refusals(server, make_client):
    parts = [{"type": "thinking", "thinking": "{}"}, {"type": "text", "text": '{"word":'}]
    server.always = fake.with_content([*parts, {"type": "text", "text": ' "yes"}'}])
    assert make_client().query("task", "text", Word).word == "yes"
    refusal = fake.completion_object(None)
    refusal["choices"][0]["message"]["refusal"] = "I cannot judge this."
    server.always = fake.garbage(json.dumps(refusal).encode())
    with pytest.raises(ServiceError, match=r"not of the schema .*I cannot judge this\."):
        make_client(answers=1).query("task", "text", Word)


def test_what_is_no_completion_is_quoted_without_the_key(server, make_client):
    server.always = fake.garbage(json.dumps({"error": {"message": f"no quota for {fake.KEY}"}}).encode())
    with pytest.raises(ServiceError, match=r"not a chat completion: .*no quota for \[key\]"):
        make_client(attempts=1).query("task", "text", Word)


def test_deep_bodies_and_answers(server, make_client):
    deep = b'{"a":' * 100_000
    server.always = fake.garbage(deep)
    with pytest.raises(ServiceError, match="not a chat completion"):
        make_client(attempts=1).query("task", "text", Word)
    for text in (deep.decode(), "[" * 100_000, "{" * 100_000):
        server.always = fake.completion(text)
        with pytest.raises(ServiceError, match="not of the schema"):
            make_client(answers=1).query("task", "text", Word)


def test_lone_surrogates(server, make_client):
    server.script = [fake.garbage(b'{"choices": [{"message": {"content": "\\ud800 no JSON"}}]}')]
    server.always = {"word": "yes"}
    assert make_client().query("task", "text", Word).word == "yes"


LONG_KEY = "sk-proj-AbCdEfGhIjKlMnOpQrStUvWxYz0123456789"


@pytest.mark.parametrize(
    "form",
    [
        lambda key: key,
        lambda key: key.upper(),
        lambda key: key[: len(key) * 2 // 3],
        lambda key: base64.b64encode(key.encode()).decode(),
    ],
)
def test_the_key_is_nowhere_whatever_the_answer(server, make_client, tmp_path, caplog, form):
    """In an answer that fits, in one that does not, in errors, headers and the status line."""
    shown = form(LONG_KEY)
    caplog.set_level(logging.DEBUG)
    entries = [
        {"word": shown},
        {"words": shown},
        {"word": "yes", shown: 1},
        f"{shown} is the key",
        fake.status(500, shown),
        fake.status(401, shown),
        fake.status(400, shown),
        fake.status(429, shown, Retry_After=shown),
        fake.status(302, shown, Location=f"http://127.0.0.1:9/{shown}"),
        fake.garbage(shown.encode()),
        fake.garbage(b"x", Content_Encoding=shown),
        fake.completion({"word": "yes"}, tokens=shown),
    ]
    for entry in entries:
        server.always = entry
        with pytest.raises(ServiceError) as caught:
            make_client(tmp_path / "cache", LONG_KEY, attempts=2, tokens=1000).query("task", "text", Word)
        assert shown.lower() not in "".join(traceback.format_exception(caught.value)).lower()
    kept = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(shown.lower() in text.lower() for text in kept)
    assert shown.lower() not in caplog.text.lower()


def test_clients_of_one_key_watch_the_logs_once(make_client):
    watched = logging.getLogger("httpx").filters
    before = len(watched)
    for key in (f"{LONG_KEY}1", f"{LONG_KEY}1", f"{LONG_KEY}2"):
        make_client(key=key)
    assert len(watched) == before + 2


def test_an_answer_that_quotes_the_key_is_not_kept(server, make_client, tmp_path):
    server.always = fake.completion(json.dumps({"word": LONG_KEY}).replace("sk-", "\\u0073k-"))
    with pytest.raises(ServiceError, match="quotes the key"):
        make_client(tmp_path, LONG_KEY).query("task", "text", Word)
    assert not list(tmp_path.rglob("*.json"))


def test_words_in_place_of_a_key_are_words(server, make_client):
    server.always = {"word": "any company"}
    assert make_client(key="any").query("task", "text", Word).word == "any company"


@pytest.mark.parametrize("key", ["a b", "a\nb", "schlüssel", "a\x00b"])
def test_keys_that_no_header_can_hold(key):
    with pytest.raises(ConfigError, match="the judge's key holds characters") as caught:
        VlmClient("judge-1", "http://127.0.0.1:9/v1", key)
    assert key not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8000/v1",
        "ftp://host/v1",
        "http://",
        "http://[::1/v1",
        "http://host:99999/v1",
        "http://host:0/v1",
        "http://host:x/v1",
        "file:///etc/passwd",
        "http://ho st/v1",
        "http://user:secret-key@host/v1",
        "http://host/v1?key=secret-key",
        "http://host/v1#a",
        "http://hóst/v1",
        "nonsense",
    ],
)
def test_addresses_that_cannot_be(url, monkeypatch):
    with pytest.raises(ConfigError, match="the judge's address cannot be") as caught:
        VlmClient("judge-1", url, "key")
    assert "secret-key" not in str(caught.value)
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    with pytest.raises(ConfigError, match="the judge's address cannot be"):
        VlmClient("judge-1", None, "key")


# --- answers as models write them ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        '```json\n{"word": "yes"}\n```',
        '```\n{"word": "yes"}\n```\nThat is all.',
        '<think>It may be {"word": "no"}.</think>\n{"word": "yes"}',
        'thoughts without a beginning</think>```json\n{"word": "yes"}```',
        'Here is the answer: {"word": "yes"}',
        'Of the form {word}: {"word": "yes"}. I hope it helps {really}.',
        'First {"word": "no"}, but on reflection {"word": "yes"}',
        '{"word": "yes"}\n\n{"comment": "another object"}',
    ],
)
def test_json_is_found_in_what_is_around_it(server, make_client, text):
    server.always = fake.completion(text)
    assert make_client().query("task", "text", Word).word == "yes"
    assert len(server.requests) == 1


def test_an_object_in_a_text_must_fit(server, make_client):
    server.always = 'The answer: ```{"word": 3}```'
    with pytest.raises(ServiceError, match=r"not of the schema .*word"):
        make_client().query("task", "text", Word)


class Bounded(BaseModel):
    model_config = ConfigDict(extra="forbid")
    pattern: str = Field(min_length=2, max_length=5)
    points: list[Annotated[int, Field(ge=0, le=2)]] = Field(min_length=1)


def test_schemas_are_sent_without_bounds_and_answers_held_to_them(server, make_client):
    server.script = [{"pattern": "abc", "points": [3]}]
    server.always = {"pattern": "abc", "points": [2]}
    assert make_client().query("task", "text", Bounded).points == [2]
    schema = server.requests[0]["response_format"]["json_schema"]["schema"]
    assert sorted(schema["properties"]) == sorted(schema["required"]) == ["pattern", "points"]
    text = json.dumps(schema)
    assert not any(
        f'"{bound}":' in text for bound in ("minLength", "maxLength", "minItems", "minimum", "maximum")
    )


def test_services_that_refuse_schemas_get_them_as_text(server, make_client):
    def answer(handler, body):
        refused = fake.status(400, "Invalid schema: json_schema is not supported")
        (refused if "response_format" in body else fake.completion('```json\n{"word": "yes"}\n```'))(
            handler, body
        )

    server.always = answer
    client = make_client()
    assert [client.query("task", text, Word).word for text in ("1", "2")] == ["yes", "yes"]
    assert ["response_format" in sent for sent in server.requests] == [True, False, False]
    task = server.requests[1]["messages"][0]["content"]
    assert task.startswith("task")
    assert '"word"' in task


def test_other_refusals_are_stated(server, make_client):
    server.always = fake.status(400, "this model reads no pictures")
    with pytest.raises(ServiceError, match=r"refused .status 400: this model reads no pictures"):
        make_client().query("task", "text", Word)
    assert len(server.requests) == 1
