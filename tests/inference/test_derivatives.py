"""What derivatives of BAGEL read before each message and canvas, and how they stand in one table."""

from dataclasses import replace

import pytest

from strokewise.cli.main import _run
from strokewise.inference import PROTOCOL_FORMATS, Engine, PaintingOptions, Request
from strokewise.inference.presets import PRESETS
from strokewise.sequence import Kind

DERIVATIVES = ("bagel-geneval", "bagel-think", "thinkmorph", "zebra-cot", "unicot", "umm-reflection")


@pytest.fixture
def paint(generator, tiny_tokenizer, monkeypatch):
    """Run a session of a format whose texts come from a script; what its contexts held at each stage."""

    def run(name, script, source=None, words=None, **options):
        protocol = replace(PROTOCOL_FORMATS[name], **(words or {}))
        protocol = protocol.with_system("system" if protocol.system else "")
        engine = Engine(generator, tiny_tokenizer)
        request = Request("prompt", 1, source)
        session = engine.open(request, PaintingOptions(steps=2, max_tokens=40, **options), protocol=protocol)
        stages, texts = [], list(script)

        def parts(context):
            found = []
            for entry in context.entries:
                if entry.is_text:
                    text = tiny_tokenizer.decode(list(entry.ids))
                    found.append(text if entry.guided else f"({text})")
                else:
                    found.append("latents" if entry.kind is Kind.CLEAN else "view")
            return found

        painted = generator.paint

        def scripted_write(contexts, *arguments):
            stages.append(("write", parts(contexts[0])))
            opened = contexts[0].is_open
            ids = tiny_tokenizer.encode(texts.pop(0))
            from strokewise.inference import TextStep, Written
            from strokewise.sequence import Segment

            generator.append(contexts, [[Segment.text(ids, opens=not opened)]])
            for token in ids:
                yield TextStep((token,))
            yield Written((tuple(ids),), (generator.special.text_end,))

        def watched_paint(contexts, *arguments):
            guided = parts(contexts[0].without_text())
            stages.append(("paint", parts(contexts[0]), guided))
            yield from painted(contexts, *arguments)

        monkeypatch.setattr(generator, "write", scripted_write)
        monkeypatch.setattr(generator, "paint", watched_paint)
        list(engine.run())
        assert session.error is None, session.error
        return stages, session.trajectory()

    return run


def test_zebra_cot_writes_by_views_and_paints_by_both(paint, random_image):
    stages, trajectory = paint("bagel-zebra-cot", ["one", "two", "so <answer>"], source=random_image(32, 32))
    both = ["latents", "view"]
    assert stages == [
        ("write", ["(system)", "(prompt)", "view"]),
        ("paint", ["(system)", "(prompt)", *both, "one"], ["(system)", "(prompt)", *both]),
        ("write", ["(system)", "(prompt)", "view", "one", "view"]),
        (
            "paint",
            ["(system)", "(prompt)", *both, "one", *both, "two"],
            ["(system)", "(prompt)", *both, "one", *both],
        ),
        ("write", ["(system)", "(prompt)", "view", "one", "view", "two", "view"]),
    ]
    assert (len(trajectory.images), trajectory.stop) == (2, "end")


def test_unicot_keeps_its_thought_and_the_last_canvas(paint):
    script = ["a thought", "wrong", "<sugg>add", "<sugg>add a cup", "right", "no editing"]
    rewrite = PROTOCOL_FORMATS["unicot"].turns[2]
    stages, trajectory = paint("unicot", script)
    begin = ["(system)", "prompt"]
    seen = [*begin, "a thought", "view"]
    assert [stage[0] for stage in stages] == ["write", "paint", *["write"] * 3, "paint", *["write"] * 2]
    assert stages[1] == ("paint", [*begin, "a thought"], ["(system)"])
    assert stages[2][1] == seen
    assert stages[3][1] == [*seen, "wrong"]
    asked = stages[4][1]
    assert asked[:-1] == [*seen, "wrong", "<sugg>add"]
    assert [c for c in asked[-1] if c.isalpha()] == [c for c in rewrite if c.islower() and c.isascii()]
    shown = [*begin, "a thought", "latents", "view"]
    assert stages[5] == ("paint", [*shown, "<sugg>add a cup"], shown)
    assert stages[6][1] == seen
    texts = [step.message.text() for step in trajectory.steps]
    assert texts == ["a thought", "wrong\n<sugg>add\n<sugg>add a cup", "right\nno editing"]
    assert (len(trajectory.images), trajectory.stop) == (2, "end")


def test_umm_reflection_paints_first_and_then_judges(paint):
    # The tokenizer of the tests has small letters only.
    words = {"markers": ("edit",), "stops": ("done",), "begin": lambda number: f"round {number - 1}"}
    script = [", edit: add a cup", ", done"]
    stages, trajectory = paint("umm-reflection", script, words=words, max_rounds=4)
    assert stages[0] == ("paint", ["prompt"], [])
    seen = ["(system)", "prompt", "latents", "view"]
    repair = "round 0, edit: add a cup"
    assert stages[1:] == [
        ("write", [*seen, "round 0"]),
        ("paint", [*seen, repair], seen),
        ("write", [*seen, repair, "latents", "view", "round 1"]),
    ]
    assert [step.message.text() for step in trajectory.steps] == ["", repair, "round 1, done"]
    assert (len(trajectory.images), trajectory.stop) == (2, "end")


def test_thinkmorph_reads_everything_once(paint):
    stages, trajectory = paint("thinkmorph", ["<image_start>", "done"])
    assert stages == [
        ("write", ["(system)", "prompt"]),
        ("paint", ["(system)", "prompt", "<image_start>"], ["(system)"]),
        ("write", ["(system)", "prompt", "<image_start>", "latents", "view"]),
    ]
    assert trajectory.stop == "end"


def test_bounds_and_temperatures_are_those_of_the_released_loops():
    found = {name: PaintingOptions().changed(PRESETS[name].options) for name in DERIVATIVES}
    assert {name: (one.max_rounds, one.temperature, one.max_tokens) for name, one in found.items()} == {
        "bagel-geneval": (8, 0.0, 512),
        "bagel-think": (8, 0.3, 2048),
        "thinkmorph": (3, 0.0, 1000),
        "zebra-cot": (16, 0.3, 1000),
        "unicot": (22, 0.3, 2048),
        "umm-reflection": (4, 0.5, 512),
    }
    assert all((one.steps, one.shift) == (49, 3.0) for one in found.values())
    assert found["umm-reflection"].size == (512, 512)


def test_all_of_them_stand_in_one_table(tiny_folder, tmp_path, capsys):
    (tmp_path / "prompts.txt").write_text("a red apple\n")
    for name in DERIVATIVES:
        run = ["eval", "run", str(tiny_folder), "--out", str(tmp_path / name), "--preset", name]
        small = ["--steps", "2", "--size", "16x16", "--max-tokens", "8", "--max-rounds", "2", "--seeds", "0"]
        prompts = ["--prompts", str(tmp_path / "prompts.txt"), "--world", "real", "--system", "think"]
        assert _run([*run, *small, *prompts]) == 0, capsys.readouterr().err
    runs = [str(tmp_path / name) for name in DERIVATIVES]
    assert _run(["eval", "report", *runs, "--out", str(tmp_path / "report")]) == 0
    lines = (tmp_path / "report" / "report.md").read_text().splitlines()
    table = [line.split("|")[1].strip() for line in lines if "not scored" in line]
    assert len(set(table)) == len(DERIVATIVES), table
