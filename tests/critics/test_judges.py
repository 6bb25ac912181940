"""Judges: the oracle, and one behind an API."""

import os
import subprocess
import sys

import pytest
from PIL import Image
from tests.critics import judge_server as fake

from strokewise.critics.judges import OracleJudge, VlmJudge, critiques_of_steps
from strokewise.errors import LanguageError, SceneError, ServiceError
from strokewise.trajectory.values import Message, Step, Trajectory

server, make_client = fake.server, fake.make_client

GOOD, WRONG = fake.GOOD, fake.WRONG
GRAPH = {
    "objects": [
        {"id": "a", "name": "gnome", "color": "mauve", "count": 2},
        {"id": "b", "name": "well", "color": None, "count": 1},
    ],
    "relations": [{"subject": "a", "kind": "left of", "target": "b"}],
    "background": "forest",
}
PLAN = Message(ins="add a blue bus on the right", des="a blue bus on the right")


def red():
    return Image.new("RGB", (8, 8), (255, 0, 0))


def test_another_process_finds_the_answer(server, make_client, tmp_path):
    server.always = GOOD
    judge = VlmJudge(make_client(tmp_path))
    judge.plan("a bus", PLAN)
    code = (
        "import sys; from pathlib import Path; from strokewise.critics.vlm_client import VlmClient;"
        "from strokewise.critics.judges import VlmJudge; from strokewise.trajectory.values import Message;"
        f"judge = VlmJudge(VlmClient('judge-1', sys.argv[1], 'key', Path(sys.argv[2])));"
        f"print(judge.plan('a bus', {PLAN!r}).analysis)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, server.url, str(tmp_path)], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "it fits", done.stderr
    assert len(server.requests) == 1


def test_opinions_of_an_api(server, make_client):
    server.script = [WRONG, GOOD]
    judge = VlmJudge(make_client())
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
def test_analyses_that_no_message_can_hold_are_asked_for_again(server, make_client, tmp_path, analysis):
    server.script, server.always = [{**GOOD, "analysis": analysis}], {**GOOD, "refine": " "}
    found = VlmJudge(make_client(tmp_path)).plan("a bus", PLAN)
    assert (found.analysis, found.refine) == ("it fits", None)
    assert VlmJudge(make_client(tmp_path)).plan("a bus", PLAN) == found
    assert len(server.requests) == 2


def test_prompts_of_any_world(server, make_client):
    server.always = GRAPH
    judge = VlmJudge(make_client())
    graph = judge.graph("two mauve gnomes left of a well in a forest")
    assert graph.to_json() == GRAPH


def test_graphs_that_contradict_themselves(server, make_client):
    twice = [{"subject": "a", "kind": "left of", "target": "a"}]
    server.always = {**GRAPH, "relations": twice}
    with pytest.raises(SceneError):
        VlmJudge(make_client()).graph("gnomes left of themselves")
    server.always = {**GRAPH, "relations": [{"subject": "a", "kind": "near", "target": "b"}]}
    with pytest.raises(ServiceError, match="not of the schema"):
        VlmJudge(make_client()).graph("gnomes near a well")


@pytest.mark.parametrize(
    "mixed",
    [
        {"relations": [{"subject": "a", "kind": "left of", "target": "c"}]},
        {"objects": [{**entry, "id": "a"} for entry in GRAPH["objects"]]},
    ],
)
def test_ids_that_are_mixed_up_are_asked_for_again(server, make_client, mixed):
    server.script, server.always = [{**GRAPH, **mixed}], GRAPH
    assert VlmJudge(make_client()).graph("gnomes left of a well").to_json() == GRAPH
    assert "an id of its own" in server.requests[1]["messages"][-1]["content"]


def test_the_oracle_knows_its_world_only():
    with pytest.raises(LanguageError):
        OracleJudge().graph("gnomes near a well")
    with pytest.raises(LanguageError):
        OracleJudge().plan("a bus", Message(ins="paint", des="a gnome"))


def test_refined_canvases_are_held_against_their_plan(server, make_client):
    refined = Step(Message("too dark.", "lighten it"), Image.new("RGB", (8, 8), (0, 255, 0)))
    steps = (Step(PLAN, red()), refined)
    server.script = [GOOD, GOOD, WRONG]
    found = list(critiques_of_steps(VlmJudge(make_client()), Trajectory("a bus", steps)))
    assert [(number, plan.consistent, sketch.consistent) for number, plan, sketch in found] == [
        (0, True, True),
        (1, True, False),
    ]
    assert len(server.requests) == 3
    assert PLAN.des in server.requests[2]["messages"][1]["content"][0]["text"]


def test_importing_judges_is_quick():
    code = "import sys, strokewise.critics.judges; assert not {'openai', 'httpx', 'torch'} & set(sys.modules)"
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, timeout=60)


def test_the_schema_is_one_that_strict_services_take():
    from strokewise.critics.json_answers import unbounded_schema
    from strokewise.critics.judges import _answers

    def check(part):
        if part.get("type") == "object":
            assert part["additionalProperties"] is False
            assert sorted(part["required"]) == sorted(part["properties"])
        for value in part.values():
            for inner in value if isinstance(value, list) else [value]:
                if isinstance(inner, dict):
                    check(inner)

    for schema in (_answers().critique, _answers().graph):
        check(unbounded_schema(schema))
