"""Probabilities of the first token of an answer: as a service states them, or a clear error."""

import pytest
from PIL import Image
from tests.critics import judge_server as fake

from strokewise.errors import ServiceError

server, make_client = fake.server, fake.make_client
RED = Image.new("RGB", (8, 8), "red")


def with_logprobs(logprobs):
    """A response that states ``logprobs``, whatever that is."""

    def respond(handler, body):
        found = fake.completion_object("Yes")
        found["choices"][0]["logprobs"] = logprobs
        handler.send(200, found)

    return respond


def test_each_question_is_a_query_with_the_pictures_before_it(server, make_client):
    server.script = [fake.beginning({"No": 0.25, "Yes": 0.5}), fake.beginning({"no": 1.0})]
    first, second = make_client().chances(["Is it red?", "Is it blue?"], [RED], tokens=5)
    assert list(first) == ["Yes", "No"]
    assert first == pytest.approx({"Yes": 0.5, "No": 0.25})
    assert second == {"no": 1.0}
    sent = server.requests[0]
    assert (sent["logprobs"], sent["top_logprobs"], sent["max_tokens"], sent["temperature"]) == (
        True,
        5,
        1,
        1,
    )
    (message,) = sent["messages"]
    assert [part["type"] for part in message["content"]] == ["image_url", "text"]
    assert message["content"][1]["text"] == "Is it red?"


def test_tokens_of_one_text_are_added(server, make_client):
    both = [{"token": "Yes", "logprob": -1.0}, {"token": "Yes", "logprob": -1.0}]
    server.always = with_logprobs({"content": [{"token": "Yes", "logprob": -1, "top_logprobs": both}]})
    assert make_client().chances(["?"])[0] == pytest.approx({"Yes": 2 * 2.718281828**-1})


def test_answers_are_kept_for_each_number_of_tokens(server, make_client, tmp_path):
    server.always = fake.beginning({"Yes": 0.5})
    for tokens in (20, 20, 5):
        assert make_client(tmp_path).chances(["?"], [RED], tokens)[0] == pytest.approx({"Yes": 0.5})
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "logprobs",
    [
        None,
        [],
        {},
        {"content": None},
        {"content": []},
        {"content": [{"token": "Yes", "logprob": -0.1, "top_logprobs": []}]},
        {"content": [{"token": "Yes", "logprob": -0.1, "top_logprobs": None}]},
        {"content": [{"top_logprobs": [{"token": "Yes", "logprob": "-0.1"}]}]},
        {"content": [{"top_logprobs": [{"token": "Yes", "logprob": float("nan")}]}]},
        {"content": [{"top_logprobs": [{"token": "Yes", "logprob": 800}]}]},
        {"content": [{"top_logprobs": [{"logprob": -0.1}]}]},
        {"content": ["Yes"]},
    ],
)
def test_a_service_without_log_probabilities_is_named(server, make_client, tmp_path, logprobs):
    server.always = with_logprobs(logprobs)
    with pytest.raises(ServiceError, match=r"judge-1 states no log-probabilities; take a service"):
        make_client(tmp_path).chances(["?"])
    assert not list(tmp_path.rglob("*.json"))


def test_a_refusal_says_what_to_do(server, make_client):
    server.always = fake.status(400, "top_logprobs must be at most 5")
    with pytest.raises(ServiceError, match=r"top_logprobs must be at most 5.*; take a service"):
        make_client().chances(["?"])
    server.always = fake.status(400, "no pictures")
    with pytest.raises(ServiceError, match=r"no pictures\)$"):
        make_client().chances(["?"])


def test_limits_hold_and_keys_are_not_kept(server, make_client, tmp_path):
    server.always = fake.beginning({"Yes": 0.5})
    client = make_client(requests=1)
    with pytest.raises(ServiceError, match="limit of 1 requests"):
        client.chances(["1", "2"])
    server.always = fake.beginning({"sk-0123456789abcdef": 0.5}, said="Yes")
    with pytest.raises(ServiceError, match="quotes the key"):
        make_client(tmp_path, "sk-0123456789abcdef").chances(["?"])
    assert not list(tmp_path.rglob("*.json"))
