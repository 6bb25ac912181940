"""Judges, and the API behind one of them: against a real server that also misbehaves."""

import base64
import importlib.util
import io
import os
import subprocess
import sys
import time
import traceback
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path

import pytest
from PIL import Image
from pydantic import BaseModel, ConfigDict

from strokewise.critics.judges import (
    ApiJudge,
    OracleJudge,
    opinions,
    parse_prompt_with,
)
from strokewise.critics.vlm_client import Asker, Limits
from strokewise.data.judged import critiques, filtered
from strokewise.errors import ConfigError, LanguageError, SceneError, ServiceError
from strokewise.trajectory.values import Message, Step, Trajectory

PATH = Path(__file__).with_name("judge_server.py")
SPEC = importlib.util.spec_from_file_location("judge_server", PATH)
fake = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(fake)

GOOD = {"consistent": True, "analysis": "it fits", "refine": None, "instruction": None, "description": None}
WRONG = {
    "consistent": False,
    "analysis": "the bus is red",
    "refine": "make the bus blue",
    "instruction": "add a blue bus on the right",
    "description": "a blue bus on the right",
}
GRAPH = {
    "objects": [
        {"id": "a", "name": "gnome", "color": "mauve", "count": 2},
        {"id": "b", "name": "well", "color": None, "count": 1},
    ],
    "relations": [{"subject": "a", "kind": "left of", "target": "b"}],
    "background": "forest",
}
PLAN = Message(ins="add a blue bus on the right", des="a blue bus on the right")


class Word(BaseModel):
    model_config = ConfigDict(extra="forbid")
    word: str


@pytest.fixture
def server():
    with fake.serving() as running:
        yield running


@pytest.fixture
def asker(server, tmp_path):
    """A function that makes askers of the server; their pauses are noted, not waited for."""

    def make(cache=None, **limits):
        pauses = []
        made = Asker("judge-1", server.url, "secret-key", cache, Limits(**limits), pauses.append)
        made.pauses = pauses
        return made

    return make


def red():
    return Image.new("RGB", (8, 8), (255, 0, 0))


# --- asking ---------------------------------------------------------------------------------------------


def test_question_answer_and_picture(server, asker):
    server.always = {"word": "yes"}
    asked = asker()
    assert asked.ask("say a word", "which?", Word, [red()]) == Word(word="yes")
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
    assert (asked.requests, asked.tokens) == (1, 100)


@pytest.mark.parametrize("bad", ["no JSON at all", '{"word": 3}', "{}", '{"word": "a", "more": 1}', ""])
def test_malformed_answers_are_asked_again(server, asker, bad):
    server.script, server.always = [bad], {"word": "yes"}
    asked = asker()
    assert asked.ask("task", "text", Word).word == "yes"
    assert len(server.requests) == 2
    told = server.requests[1]["messages"]
    assert [message["role"] for message in told] == ["system", "user", "assistant", "user"]
    assert told[2]["content"] == bad
    assert "not an answer of the schema" in told[3]["content"]
    assert asked.pauses == []


def test_answers_that_never_fit_are_an_error(server, asker):
    server.always = {"words": "yes"}
    with pytest.raises(ServiceError, match="gave 3 answers that are not what was asked for"):
        asker().ask("task", "text", Word)
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
def test_failures_are_tried_again(server, asker, failure):
    server.script, server.always = [failure, failure], {"word": "yes"}
    asked = asker()
    assert asked.ask("task", "text", Word).word == "yes"
    assert len(server.requests) == 3
    first, second = asked.pauses
    assert 0.5 <= first <= 1
    assert 1 <= second <= 2


def test_the_servers_pause_is_kept(server, asker):
    server.script = [fake.status(429, Retry_After="7"), fake.status(429, Retry_After="900")]
    server.always = {"word": "yes"}
    asked = asker()
    asked.ask("task", "text", Word)
    assert asked.pauses == [7, 60]


def test_the_servers_pause_may_be_a_date(server, asker):
    server.script = [
        fake.status(429, Retry_After=formatdate(time.time() + 30, usegmt=True)),
        fake.status(503, Retry_After="Wed, 21 Oct 2015 07:28:00 GMT"),
    ]
    server.always = {"word": "yes"}
    asked = asker()
    asked.ask("task", "text", Word)
    later, gone = asked.pauses
    assert 25 < later <= 30
    assert gone == 0


@pytest.mark.parametrize("odd", ["soon", "\u00b2", "-", "Wed, 99 Oct 2015 07:28:00 GMT", ""])
def test_pauses_that_say_nothing(server, asker, odd):
    server.script, server.always = [fake.status(429, Retry_After=odd)], {"word": "yes"}
    asked = asker()
    asked.ask("task", "text", Word)
    assert 0.5 <= asked.pauses[0] <= 1


def test_pauses_grow_up_to_a_limit(server, asker):
    server.always = fake.status(500)
    asked = asker(attempts=6, longest_wait=4)
    with pytest.raises(ServiceError, match="failed 6 times, last with status 500"):
        asked.ask("task", "text", Word)
    assert len(server.requests) == 6
    assert all(low <= pause <= 2 * low for low, pause in zip((0.5, 1, 2, 2, 2), asked.pauses, strict=True))


def test_timeouts_are_tried_again(server, asker):
    server.script, server.always = [fake.slow(1.0, {"word": "late"})], {"word": "yes"}
    assert asker(timeout=0.3).ask("task", "text", Word).word == "yes"


@pytest.mark.parametrize("code", [400, 401, 403, 404])
def test_refusals_are_final(server, asker, code):
    server.always = fake.status(code)
    with pytest.raises(ServiceError, match=f"refused .status {code}") as caught:
        asker().ask("task", "text", Word)
    assert len(server.requests) == 1
    assert "secret-key" not in str(caught.value)


@pytest.mark.parametrize("code", [401, 500])
def test_keys_that_the_server_quotes_are_not_told(server, asker, code):
    def quote(handler, body):
        handler.send(code, {"error": {"message": f"wrong key {handler.headers['Authorization']}"}})

    server.always = quote
    with pytest.raises(ServiceError, match=r"wrong key Bearer \[key\]") as caught:
        asker(attempts=2).ask("task", "text", Word)
    assert "secret-key" not in "".join(traceback.format_exception(caught.value))


def test_nobody_is_there():
    asked = Asker("judge-1", "http://127.0.0.1:9/v1", "key", limits=Limits(attempts=2), sleep=lambda _: None)
    with pytest.raises(ServiceError, match="failed 2 times, last with APIConnectionError"):
        asked.ask("task", "text", Word)


def test_no_key(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ConfigError, match="OPENAI_API_KEY"):
        Asker("judge-1")


def test_no_more_is_spent_than_allowed(server, asker):
    server.always = {"word": "yes"}
    few = asker(requests=2)
    few.ask("task", "1", Word), few.ask("task", "2", Word)
    with pytest.raises(ServiceError, match="limit of 2 requests is reached"):
        few.ask("task", "3", Word)
    cheap = asker(tokens=150)
    cheap.ask("task", "1", Word), cheap.ask("task", "2", Word)
    with pytest.raises(ServiceError, match="limit of 150 tokens is reached"):
        cheap.ask("task", "3", Word)
    assert len(server.requests) == 4


def test_retries_count_as_requests(server, asker):
    server.always = fake.status(500)
    with pytest.raises(ServiceError, match="limit of 3 requests is reached"):
        asker(requests=3).ask("task", "text", Word)
    assert len(server.requests) == 3


def test_tokens_that_nobody_counts_cannot_be_limited(server, asker):
    def uncounted(handler, body):
        choice = {"index": 0, "message": {"role": "assistant", "content": '{"word": "yes"}'}}
        handler.send(200, {"id": "1", "choices": [choice]})

    server.always = uncounted
    assert asker(requests=1).ask("task", "text", Word).word == "yes"
    with pytest.raises(ServiceError, match="does not tell how many tokens"):
        asker(tokens=1000).ask("task", "text", Word)
    assert len(server.requests) == 2


def test_limits_that_would_never_ask():
    with pytest.raises(ConfigError, match="asks is 0"):
        Limits(asks=0)


def test_an_answer_is_paid_for_once(server, asker, tmp_path):
    server.always = {"word": "yes"}
    asker(tmp_path).ask("task", "text", Word, [red()])
    again = asker(tmp_path)
    assert again.ask("task", "text", Word, [red()]).word == "yes"
    assert (len(server.requests), again.requests) == (1, 0)
    again.ask("task", "text", Word, [Image.new("RGB", (8, 8), (254, 0, 0))])
    again.ask("task", "another text", Word, [red()])
    again.ask("another task", "text", Word, [red()])
    assert len(server.requests) == 4
    stored = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(stored) == 4
    assert not any("secret-key" in text for text in stored)


def test_another_process_finds_the_answer(server, asker, tmp_path):
    server.always = GOOD
    judge = ApiJudge(asker(tmp_path))
    judge.plan("a bus", PLAN)
    code = (
        "import sys; from pathlib import Path; from strokewise.critics.vlm_client import Asker;"
        "from strokewise.critics.judges import ApiJudge; from strokewise.trajectory.values import Message;"
        f"judge = ApiJudge(Asker('judge-1', sys.argv[1], 'key', Path(sys.argv[2])));"
        f"print(judge.plan('a bus', {PLAN!r}).analysis)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, server.url, str(tmp_path)], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "it fits", done.stderr
    assert len(server.requests) == 1


@pytest.mark.parametrize("damage", [b"", b"{", b'{"word": 1}', b"\xff\xfe"])
def test_damaged_answers_are_asked_for_again(server, asker, tmp_path, damage):
    server.always = {"word": "yes"}
    asker(tmp_path).ask("task", "text", Word)
    (stored,) = tmp_path.rglob("*.json")
    whole = stored.read_bytes()
    stored.write_bytes(damage)
    assert asker(tmp_path).ask("task", "text", Word).word == "yes"
    assert len(server.requests) == 2
    assert stored.read_bytes() == whole


def test_a_cache_that_cannot_be_written(server, asker, tmp_path):
    server.always = {"word": "yes"}
    (tmp_path / "file").write_text("")
    with pytest.raises(ServiceError, match="cannot be written"):
        asker(tmp_path / "file" / "cache").ask("task", "text", Word)


def test_many_at_once_but_not_more_than_allowed(server, asker):
    def echo(handler, body):
        text = body["messages"][1]["content"][0]["text"]
        fake.slow(0.02 * (int(text) % 3), {"word": text})(handler, body)

    server.always = echo
    asked = asker(concurrent=3)
    words = list(asked.ahead(lambda n: asked.ask("task", str(n), Word).word, range(20)))
    assert words == [str(n) for n in range(20)]
    assert 1 < server.busiest <= 3


def test_the_same_question_at_once_is_paid_for_once(server, asker, tmp_path):
    server.always = fake.slow(0.1, {"word": "yes"})
    asked = asker(tmp_path, concurrent=4)
    assert list(asked.ahead(lambda _: asked.ask("task", "text", Word).word, range(8))) == ["yes"] * 8
    assert len(server.requests) == 1


def test_an_error_ends_the_others(server, asker):
    server.always = fake.status(401)
    asked = asker(concurrent=2)
    with pytest.raises(ServiceError, match="refused"):
        list(asked.ahead(lambda n: asked.ask("task", str(n), Word), range(100)))
    assert len(server.requests) < 10


# --- judging --------------------------------------------------------------------------------------------


def test_opinions_of_an_api(server, asker):
    server.script = [WRONG, GOOD]
    judge = ApiJudge(asker())
    plan = judge.plan("a bus", PLAN)
    assert (plan.consistent, plan.refine, plan.description) == (
        False,
        "make the bus blue",
        WRONG["description"],
    )
    assert judge.sketch(PLAN, red()).consistent
    first, second = server.requests
    assert "Prompt: a bus" in first["messages"][1]["content"][0]["text"]
    assert len(first["messages"][1]["content"]) == 1
    assert PLAN.des in second["messages"][1]["content"][0]["text"]
    assert len(second["messages"][1]["content"]) == 2


@pytest.mark.parametrize("analysis", ["", "  ", "a <refine> too many", "</des>"])
def test_analyses_that_no_message_can_hold_are_asked_for_again(server, asker, tmp_path, analysis):
    server.script, server.always = [{**GOOD, "analysis": analysis}], {**GOOD, "refine": " "}
    found = ApiJudge(asker(tmp_path)).plan("a bus", PLAN)
    assert (found.analysis, found.refine) == ("it fits", None)
    assert ApiJudge(asker(tmp_path)).plan("a bus", PLAN) == found
    assert len(server.requests) == 2


def test_prompts_of_any_world(server, asker):
    server.always = GRAPH
    judge = ApiJudge(asker())
    own = parse_prompt_with(judge, "a red apple left of a blue bus")
    assert [obj.name for obj in own.objects] == ["apple", "bus"]
    assert server.requests == []
    graph = parse_prompt_with(judge, "two mauve gnomes left of a well in a forest")
    assert graph.to_json() == GRAPH


def test_graphs_that_contradict_themselves(server, asker):
    twice = [{"subject": "a", "kind": "left of", "target": "a"}]
    server.always = {**GRAPH, "relations": twice}
    with pytest.raises(SceneError):
        parse_prompt_with(ApiJudge(asker()), "gnomes left of themselves")
    server.always = {**GRAPH, "relations": [{"subject": "a", "kind": "near", "target": "b"}]}
    with pytest.raises(ServiceError, match="not what was asked for"):
        parse_prompt_with(ApiJudge(asker()), "gnomes near a well")


@pytest.mark.parametrize(
    "mixed",
    [
        {"relations": [{"subject": "a", "kind": "left of", "target": "c"}]},
        {"objects": [{**entry, "id": "a"} for entry in GRAPH["objects"]]},
    ],
)
def test_ids_that_are_mixed_up_are_asked_for_again(server, asker, mixed):
    server.script, server.always = [{**GRAPH, **mixed}], GRAPH
    assert parse_prompt_with(ApiJudge(asker()), "gnomes left of a well").to_json() == GRAPH
    assert "an id of its own" in server.requests[1]["messages"][-1]["content"]


def test_the_oracle_knows_its_world_only(records_of):
    with pytest.raises(LanguageError):
        parse_prompt_with(OracleJudge(), "gnomes near a well")
    with pytest.raises(LanguageError):
        OracleJudge().plan("a bus", Message(ins="paint", des="a gnome"))


def test_the_oracle_sees_what_was_put_in(records_of):
    """The step before the last is the one that a record is about, its verdict is in the last."""
    judge = OracleJudge()
    records = [*records_of("conflict", 20), *records_of("alignment", 20)]
    assert {record.label for record in records} == {"right", "wrong", "positive", "negative"}
    for record in records:
        judged = {number: found for number, *found in opinions(judge, record.trajectory)}
        plan, sketch = judged[len(record.trajectory.steps) - 2]
        assert plan.consistent == (plan.refine is None) == (record.label != "wrong")
        assert sketch.consistent == (sketch.refine is None) == (record.label != "negative")


def test_only_accepted_trajectories_stay(records_of):
    records = records_of("multi-turn", 12)
    faulty = [r for r in records_of("alignment", 12) if r.label == "negative"]
    kept = list(filtered(OracleJudge(), [*faulty, *records]))
    assert kept
    assert all(record.subset == "multi-turn" for record in kept)


def test_steps_that_stand_in_do_not_cost_a_record(records_of):
    """What will be recolored or removed again does not fit the prompt, and need not."""
    open_plans = [
        record
        for record in records_of("multi-turn", 60, size=128)
        if any(step.verdict and step.verdict.plan is None for step in record.trajectory.steps)
    ][:3]
    assert open_plans
    assert list(filtered(OracleJudge(), open_plans)) == open_plans
    record = open_plans[0]
    silent = tuple(replace(step, verdict=None) for step in record.trajectory.steps)
    unsaid = replace(record, trajectory=replace(record.trajectory, steps=silent))
    assert list(filtered(OracleJudge(), [unsaid])) == []


def test_what_cannot_be_told_is_left_out(records_of):
    good = next(iter(filtered(OracleJudge(), records_of("multi-turn", 12))))
    odd = replace(good, trajectory=replace(good.trajectory, prompt="gnomes near a well"))
    assert list(filtered(OracleJudge(), [odd, good])) == [good]
    assert list(critiques(OracleJudge(), [odd.trajectory], None)) == []


def test_services_that_fail_end_the_filter(server, asker, records_of):
    server.always = fake.status(401)
    with pytest.raises(ServiceError, match="refused"):
        list(filtered(ApiJudge(asker()), records_of("multi-turn", 12)))


def test_refined_canvases_are_held_against_their_plan(server, asker):
    refined = Step(Message("too dark.", "lighten it"), Image.new("RGB", (8, 8), (0, 255, 0)))
    steps = (Step(PLAN, red()), refined)
    server.script = [GOOD, GOOD, WRONG]
    found = list(opinions(ApiJudge(asker()), Trajectory("a bus", steps)))
    assert [(number, plan.consistent, sketch.consistent) for number, plan, sketch in found] == [
        (0, True, True),
        (1, True, False),
    ]
    assert len(server.requests) == 3
    assert PLAN.des in server.requests[2]["messages"][1]["content"][0]["text"]


def test_corrections_of_what_was_right_are_not_learnt(server, asker):
    refined = Step(Message("too dark.", "lighten it"), red())
    server.always = GOOD
    painted = Trajectory("a bus", (Step(PLAN, red()), refined))
    for record in critiques(ApiJudge(asker()), [painted], None):
        assert len(record.trajectory.steps) == 2
        assert all(step.message.refine is None for step in record.trajectory.steps)


def test_an_apis_critiques_become_records(server, asker):
    steps = (Step(PLAN, red()), Step(Message("fine.", None, "add a cat", "a bus and a cat"), red()))
    painted = [Trajectory(f"a bus and a cat, {n}", steps, model="m") for n in range(3)]

    def answer(handler, body):
        text = body["messages"][1]["content"][0]["text"]
        canvas = len(body["messages"][1]["content"]) == 2
        wrong = (
            ("cat, 1\n" in text and "a bus and a cat\n" not in text) if not canvas else "add a cat" in text
        )
        fake.completion(WRONG if wrong else GOOD)(handler, body)

    class Red:
        def paint(self, canvas, instruction, description, scene, seed):
            assert scene is None
            return red()

    server.always = answer
    records = list(critiques(ApiJudge(asker()), painted, Red()))
    assert [(r.subset, r.label) for r in records] == [
        ("alignment", "negative"),
        ("conflict", "wrong"),
        ("alignment", "negative"),
    ]
    wrong = records[1].trajectory
    assert len(wrong.steps) == 2
    assert wrong.steps[-1].message.refine == WRONG["refine"]
    assert wrong.steps[-1].message.des == WRONG["description"]
    assert wrong.steps[-1].verdict.plan is False
    negative = records[0].trajectory
    assert len(negative.steps) == 3
    assert negative.steps[-1].message.ins is None
    server.always = GOOD
    fine = list(critiques(ApiJudge(asker()), painted[:1], Red()))
    assert [(r.subset, r.label) for r in fine] == [("conflict", "right"), ("alignment", "positive")]
    server.always = {**WRONG, "refine": None}
    assert list(critiques(ApiJudge(asker()), painted, Red())) == []


def test_importing_judges_is_quick():
    code = (
        "import sys, strokewise.critics.judges; assert not {'openai', 'pydantic', 'torch'} & set(sys.modules)"
    )
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, timeout=60)


def test_the_schema_is_one_that_strict_services_take():
    from strokewise.critics.judges import _answers

    def check(part):
        if part.get("type") == "object":
            assert part["additionalProperties"] is False
            assert sorted(part["required"]) == sorted(part["properties"])
        for value in part.values():
            for inner in value if isinstance(value, list) else [value]:
                if isinstance(inner, dict):
                    check(inner)

    for schema in (_answers().opinion, _answers().graph):
        check(schema.model_json_schema())
