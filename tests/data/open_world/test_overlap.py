"""Drafts that are left out: near-duplicates, and what is too like prompts by which models are measured."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from strokewise.cli.main import app
from strokewise.data.open_world.drafts import Draft, OpenMultiTurnMix, drafter
from strokewise.data.open_world.overlap import ALIKE, facts_of, select, words_of
from strokewise.data.open_world.sampling import OpenMix
from strokewise.data.open_world.scene import OpenObject, OpenRelation, OpenScene
from strokewise.data.open_world.taxonomy import load_taxonomy

CUP, CAT = OpenObject("cup", 2, {"color": "red"}), OpenObject("cat")
LEFT = (OpenRelation("cup", "left of", "cat"),)
SCENE = OpenScene((CUP, CAT), LEFT, "in a kitchen")


def drafts_of(*scenes, prompts=()):
    texts = [*prompts, *(f"prompt {number}" for number in range(len(prompts), len(scenes)))]
    return [Draft(i, texts[i], scene, ()) for i, scene in enumerate(scenes)]


def test_words_and_order_do_not_make_another_draft():
    same = replace(SCENE, objects=(CAT, CUP), style="an oil painting of")
    others = [
        replace(SCENE, relations=(OpenRelation("cat", "left of", "cup"),)),
        replace(SCENE, objects=(replace(CUP, count=3), CAT)),
        replace(SCENE, objects=(replace(CUP, attributes={"color": "blue"}), CAT)),
        replace(SCENE, place="in a park"),
    ]
    drafts = drafts_of(SCENE, same, *others, SCENE)
    found = select(drafts.__getitem__, len(drafts), [])
    assert found.numbers == (0, 2, 3, 4, 5)
    assert found.removed == {"near-duplicates": 2}


def test_measured_prompts_are_kept_out_in_any_order():
    prompts = ["A photo of two cats and a dog.", "two cats in a park and a dog"]
    drafts = drafts_of(SCENE, SCENE, prompts=prompts)
    found = select(drafts.__getitem__, 2, ["a dog and two cats"])
    assert found.numbers == (1,)
    assert found.removed == {"too like a measured prompt": 1}


@settings(max_examples=30)
@given(st.integers(0, 10**6))
def test_the_index_finds_what_a_comparison_of_all_finds(seed):
    """Few classes, so that scenes are alike by chance."""
    taxonomy = load_taxonomy()
    few = replace(taxonomy, classes=tuple(one for one in taxonomy.classes if one.group == "tableware"))
    few = replace(few, relations=few.relations[:2])
    draft = drafter(seed, OpenMultiTurnMix(OpenMix(objects=(0, 1, 1), complexity=(3, 5))), few)
    drafts = [draft(number) for number in range(60)]
    kept = []
    for one in drafts:
        facts = facts_of(one.scene)
        others = [facts_of(other.scene) for other in kept]
        if not any(len(facts & other) >= ALIKE * len(facts | other) for other in others):
            kept.append(one)
    assert select(draft, 60, []).numbers == tuple(one.number for one in kept)


def test_words():
    assert words_of("A photo of the Red cups, two-handed.") == {"red", "cups", "two", "handed"}


@pytest.mark.parametrize("own", [True, False])
def test_the_command_says_what_is_left_out(own, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    draft = drafter(0, OpenMultiTurnMix(), load_taxonomy())
    (tmp_path / "measured.txt").write_text(f"{draft(3).prompt}\n")
    given = ("--world", "open", "--painter", "kontext", "--judge", "j", "--n", 5, "--dry-run")
    command = ["data", "build", "multi-turn", *given, "--out", tmp_path / "out"]
    command += ["--measured", tmp_path / "measured.txt"] * own
    result = CliRunner().invoke(app, list(map(str, command)))
    assert result.exception is None, result.output
    assert ("left out, too like a measured prompt: 1" in result.output) == own
