"""Records that a judge accepts, and records made of its critiques."""

from dataclasses import replace

import pytest
from PIL import Image
from tests.critics import judge_server as fake

from strokewise.critics.judges import OracleJudge, VlmJudge, critiques_of_steps
from strokewise.data.build import Recipe, build
from strokewise.data.critiqued import critiques, filter_data, filtered
from strokewise.data.storage import read
from strokewise.errors import ConfigError, ServiceError
from strokewise.trajectory.values import Message, Step, Trajectory

server, make_client = fake.server, fake.make_client

GOOD, WRONG = fake.GOOD, fake.WRONG
PLAN = Message(ins="add a blue bus on the right", des="a blue bus on the right")


def red():
    return Image.new("RGB", (8, 8), (255, 0, 0))


def test_the_oracle_sees_what_was_put_in(records_of):
    """The step before the last is the one that a record is about, its verdict is in the last."""
    judge = OracleJudge()
    records = [*records_of("conflict", 20), *records_of("alignment", 20)]
    assert {record.label for record in records} == {"right", "wrong", "positive", "negative"}
    for record in records:
        judged = {number: found for number, *found in critiques_of_steps(judge, record.trajectory)}
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


def test_what_cannot_be_written_is_left_out(records_of):
    good = next(iter(filtered(OracleJudge(), records_of("multi-turn", 12))))
    odd = replace(good, trajectory=replace(good.trajectory, prompt="gnomes near a well"))
    assert list(filtered(OracleJudge(), [odd, good])) == [good]
    assert list(critiques(OracleJudge(), [odd.trajectory], None)) == []


def test_services_that_fail_end_the_filter(server, make_client, records_of):
    server.always = fake.status(401)
    with pytest.raises(ServiceError, match="refused"):
        list(filtered(VlmJudge(make_client()), records_of("multi-turn", 12)))


def test_corrections_of_what_was_right_are_not_supervised(server, make_client):
    refined = Step(Message("too dark.", "lighten it"), red())
    server.always = GOOD
    painted = Trajectory("a bus", (Step(PLAN, red()), refined))
    for record in critiques(VlmJudge(make_client()), [painted], None):
        assert len(record.trajectory.steps) == 2
        assert all(step.message.refine is None for step in record.trajectory.steps)


def test_an_apis_critiques_become_records(server, make_client):
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
    records = list(critiques(VlmJudge(make_client()), painted, Red()))
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
    fine = list(critiques(VlmJudge(make_client()), painted[:1], Red()))
    assert [(r.subset, r.label) for r in fine] == [("conflict", "right"), ("alignment", "positive")]
    server.always = {**WRONG, "refine": None}
    assert list(critiques(VlmJudge(make_client()), painted, Red())) == []


def test_a_data_set_is_filtered_and_resumed(server, make_client, tmp_path, monkeypatch):
    monkeypatch.setattr("strokewise.data.build.SHARD", 4)
    build(Recipe("multi-turn", 10, 3, 64), tmp_path / "all")

    def answer(handler, body):
        fake.completion(WRONG if " cow" in str(body["messages"][1]["content"][0]) else GOOD)(handler, body)

    server.always = answer
    client = make_client(tmp_path / "answers")
    count = filter_data(VlmJudge(client), "judge-1", tmp_path / "all", tmp_path / "kept")
    records = [record for _, record in read(tmp_path / "kept")]
    assert len(records) == count < 10 + 1
    assert records == list(filtered(VlmJudge(client), (record for _, record in read(tmp_path / "all"))))
    whole = {path.name: path.read_bytes() for path in (tmp_path / "kept").iterdir()}
    (tmp_path / "kept" / "manifest.json").unlink()
    (tmp_path / "kept" / "part-00001.parquet").unlink()
    asked = len(server.requests)
    filter_data(VlmJudge(client), "judge-1", tmp_path / "all", tmp_path / "kept")
    assert {path.name: path.read_bytes() for path in (tmp_path / "kept").iterdir()} == whole
    assert len(server.requests) == asked
    with pytest.raises(ConfigError, match="another recipe"):
        filter_data(VlmJudge(client), "judge-2", tmp_path / "all", tmp_path / "kept")
    server.always = WRONG
    with pytest.raises(ConfigError, match="accepts none of the multi-turn records"):
        filter_data(VlmJudge(make_client()), "judge-1", tmp_path / "all", tmp_path / "none")


def test_only_multi_turn_data_are_filtered(tmp_path):
    build(Recipe("conflict", 3, 3, 64), tmp_path / "all")
    with pytest.raises(ConfigError, match="faulty steps on purpose"):
        filter_data(OracleJudge(), "oracle", tmp_path / "all", tmp_path / "kept")
