"""Taxonomies, scenes sampled from them, the steps to a scene, and both in words."""

import json
import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strokewise.data.open_world.english import English
from strokewise.data.open_world.sampling import GENEVAL_RELATIONS, OpenMix, sample_open_scene
from strokewise.data.open_world.scene import OpenObject, OpenRelation, OpenScene
from strokewise.data.open_world.steps import open_steps
from strokewise.data.open_world.taxonomy import SPATIAL, load_taxonomy
from strokewise.errors import ConfigError, SceneError
from strokewise.world.vocabulary import CLASSES

TAXONOMY = load_taxonomy()
ENGLISH = English(TAXONOMY)
SEEDS = st.integers(0, 10**9)


def sampled(seed, **mix):
    return sample_open_scene(random.Random(seed), TAXONOMY, OpenMix(**mix))


def with_steps(seed, edit_share=0.5):
    """A scene with the steps to it; scenes that cannot be painted in three to five steps are rare."""
    rng = random.Random(seed)
    while True:
        scene = sample_open_scene(rng, TAXONOMY, OpenMix())
        try:
            return scene, open_steps(scene, TAXONOMY, rng, edit_share)
        except SceneError:
            continue


class TestTaxonomy:
    def test_ours_has_the_classes_of_geneval_and_thirty_relations(self):
        assert {one.name for one in TAXONOMY.classes} == set(CLASSES)
        assert len(TAXONOMY.relations) == 30
        assert {place.setting for place in TAXONOMY.places} >= {
            setting for one in TAXONOMY.classes for setting in one.settings
        }

    @pytest.mark.parametrize(
        ("change", "fault"),
        [
            (lambda t: t["classes"][0].update(group="ghost"), "class 'person'.*'ghost'"),
            (lambda t: t["relations"][0].update(target=["ghosts"]), "relation 'left of'.*'ghosts'"),
            (lambda t: t["sets"].update(odd=["later"], later=["person"]), "set 'odd'.*'later'"),
            (lambda t: t["classes"].append(t["classes"][0]), "two of the class 'person'"),
            (lambda t: t["classes"][0].update(most=0), "most 0"),
            (lambda t: t["classes"][0].update(most="many"), "classes.0.most.*'many'"),
            (lambda t: t.update(places=[]), "a place and a style"),
            (lambda t: t["groups"]["person"].update(mood=["glad"]), "attribute_order.*'mood'"),
            (lambda t: t.pop("styles"), "styles: is missing"),
        ],
    )
    def test_contradictions_are_refused(self, tmp_path, change, fault):
        from importlib.resources import files

        path = files("strokewise.data.open_world") / "taxonomy.json"
        value = json.loads(path.read_text())
        change(value)
        (tmp_path / "own.json").write_text(json.dumps(value))
        with pytest.raises(ConfigError, match=f"own.json: .*{fault}"):
            load_taxonomy(tmp_path / "own.json")


class TestGenerateAnyScene:
    @pytest.fixture
    def folder(self, tmp_path):
        files = {
            "objects_list.json": ["corn_snake", "box (area)", "box (container)", "oak"],
            "attributes.json": {"color": ["Acid Green", "Amber (SAE/ECE)"], "state": ["wet"]},
            "relations.json": {"spatial": ["next to", "on"], "social": ["greeting", "on"]},
            "image_scene_attributes.json": {
                "style": {"technique": ["oil painting", "Velvet painting"], "artist": ["somebody"]},
                "weather": ["mild"],
                "scene / location ": ["alley", "arena (hockey)"],
            },
        }
        for name, value in files.items():
            (tmp_path / name).write_text(json.dumps(value))
        return tmp_path

    def test_is_read(self, folder):
        found = load_taxonomy(folder)
        assert [one.name for one in found.classes] == ["corn snake", "box", "oak"]
        assert found.attributes("oak") == {"color": ("acid green", "amber"), "state": ("wet",)}
        assert [(r.name, r.kind) for r in found.relations] == [
            ("next to", SPATIAL),
            ("on", SPATIAL),
            ("greeting", "social"),
        ]
        assert [p.words for p in found.places] == ["in an alley", "in an arena"]
        assert found.styles == ("a photo of", "an oil painting of", "a velvet painting of")

    def test_scenes_are_sampled_from_it(self, folder):
        found, mix = load_taxonomy(folder), OpenMix(objects=(0, 1, 1), geneval_share=0)
        for seed in range(50):
            scene = sample_open_scene(random.Random(seed), found, mix)
            assert set(scene.names) <= {"corn snake", "box", "oak"}
            assert English(found).describe(scene)

    @pytest.mark.parametrize(
        ("name", "value", "fault"),
        [
            ("objects_list.json", None, "holds no objects.json or objects_list.json"),
            ("attributes.json", ["red"], "attributes.json must be a JSON object"),
            ("relations.json", {"spatial": [1]}, "relations.json: 'spatial' must be a list of texts"),
            ("image_scene_attributes.json", {"style": {}}, "'scene / location' must be a list"),
        ],
    )
    def test_other_forms_are_refused(self, folder, name, value, fault):
        if value is None:
            (folder / name).unlink()
        else:
            (folder / name).write_text(json.dumps(value))
        with pytest.raises(ConfigError, match=fault):
            load_taxonomy(folder)


class TestScenes:
    CUP, CAT = OpenObject("cup", 2, {"color": "red"}), OpenObject("cat")

    @pytest.mark.parametrize(
        ("scene", "fault"),
        [
            (OpenScene(()), "at least one object"),
            (OpenScene((CUP, CUP)), "each class once"),
            (OpenScene((replace(CUP, count=0),)), "less than one"),
            (OpenScene((CUP,), (OpenRelation("cup", "near", "dog"),)), "'dog'"),
            (OpenScene((CUP, CAT), (OpenRelation("cup", "near", "cup"),)), "two objects"),
            (
                OpenScene((CUP, CAT), (OpenRelation("cup", "near", "cat"), OpenRelation("cat", "on", "cup"))),
                "each pair",
            ),
            (
                OpenScene(
                    (CUP, CAT, OpenObject("dog")),
                    (
                        OpenRelation("cup", "near", "cat"),
                        OpenRelation("cat", "near", "dog"),
                        OpenRelation("dog", "near", "cup"),
                    ),
                ),
                "round in a circle",
            ),
        ],
    )
    def test_contradictions(self, scene, fault):
        with pytest.raises(SceneError, match=fault):
            scene.validate()

    @given(SEEDS)
    def test_come_back_from_json(self, seed):
        scene = sampled(seed)
        assert OpenScene.from_json(json.loads(json.dumps(scene.to_json()))) == scene
        with pytest.raises(SceneError, match="objects"):
            OpenScene.from_json({**scene.to_json(), "objects": 3})


class TestSampling:
    @given(SEEDS)
    def test_scenes_are_plausible_and_of_the_complexity(self, seed):
        scene = sampled(seed, complexity=(6, 7), geneval_share=0)
        assert 6 <= scene.complexity <= 7
        (place,) = (p for p in TAXONOMY.places if p.words == scene.place)
        kinds = {kind.name: kind for kind in TAXONOMY.relations}
        for one in scene.objects:
            assert TAXONOMY.can_be(one.name, place)
            assert one.count <= TAXONOMY[one.name].most
            assert all(v in TAXONOMY.attributes(one.name)[k] for k, v in one.attributes.items())
        for relation in scene.relations:
            kind = kinds[relation.name]
            assert TAXONOMY.fits(kind, relation.subject, relation.target)
            if kind.kind != SPATIAL:
                assert scene[relation.subject].count == scene[relation.target].count == 1
                assert "state" not in scene[relation.subject].attributes

    @given(SEEDS)
    def test_geneval_like_scenes(self, seed):
        scene = sampled(seed, geneval_share=1)
        assert (scene.place, scene.style) == ("", "a photo of")
        assert {r.name for r in scene.relations} <= set(GENEVAL_RELATIONS)
        assert all(set(one.attributes) <= {"color"} for one in scene.objects)

    def test_every_relation_occurs(self):
        seen = Counter(r.name for seed in range(1500) for r in sampled(seed).relations)
        assert set(seen) == {kind.name for kind in TAXONOMY.relations}

    def test_what_cannot_be(self):
        with pytest.raises(ConfigError, match="no scene of complexity 90 to 99"):
            sampled(0, complexity=(90, 99))
        for mix in (
            {"complexity": (3, 2)},
            {"complexity": (0, 2)},
            {"objects": (0, 0)},
            {"objects": (1,) * 6},
        ):
            with pytest.raises(ConfigError):
                OpenMix(**mix)


class TestSteps:
    @given(SEEDS)
    def test_lead_to_the_scene_one_change_at_a_time(self, seed):
        scene, steps = with_steps(seed)
        assert 3 <= len(steps) <= 5
        assert steps[-1].scene == scene
        assert not steps[-1].stands_in
        shown = {}
        for step in steps:
            if step.before is not None:
                assert shown.pop(step.before.name) == step.before
            if step.after is not None:
                assert step.after.name not in shown
                shown[step.after.name] = step.after
            assert {one.name: one for one in step.scene.objects} == shown
            step.scene.validate()
            fits = all(name in scene.names and one == scene[name] for name, one in shown.items())
            assert step.stands_in != fits
            if step.action == "add":  # what it is related to is there already
                targets = [r.subject for r in step.scene.relations if r.target == step.after.name]
                assert targets == []

    def test_all_actions_occur_and_edits_follow_their_share(self):
        with_edit = [with_steps(seed, 1.0)[1] for seed in range(100)]
        actions = Counter(step.action for steps in with_edit for step in steps)
        assert set(actions) == {"add", "modify", "swap", "remove"}
        for seed in range(100):
            scene, steps = with_steps(seed, 0.0)
            removed = any(step.action == "remove" for step in steps)  # which takes two steps
            assert 0 <= len(steps) - max(3, len(scene.objects)) <= removed


class TestEnglish:
    def test_a_scene(self):
        scene = OpenScene(
            (OpenObject("person"), OpenObject("knife", 2, {"color": "red"}), OpenObject("skis")),
            (OpenRelation("person", "holding", "skis"), OpenRelation("knife", "left of", "person")),
            "in an office",
            "an oil painting of",
        )
        assert ENGLISH.describe(scene) == (
            "an oil painting of a person, two red knives and a pair of skis in an office."
            " The person is holding the pair of skis. The knives are left of the person."
        )
        pair = OpenScene((scene["person"], scene["knife"]), scene.relations[1:], scene.place, scene.style)
        assert ENGLISH.describe(pair) == ("an oil painting of two red knives left of a person in an office")
        assert ENGLISH.pending(scene, pair) == "Still to come: a pair of skis."
        assert ENGLISH.pending(scene, scene) == ""

    @given(SEEDS)
    def test_instructions_name_what_changes(self, seed):
        _, steps = with_steps(seed)
        for step in steps:
            text = ENGLISH.instruct(step, random.Random(seed))
            assert text.endswith(".")
            for one in filter(None, (step.before, step.after)):
                known = TAXONOMY[one.name]
                assert (known.noun or one.name) in text or (known.plural or f"{known.name}s") in text

    def test_different_scenes_have_different_texts(self):
        scenes = [sampled(seed) for seed in range(400)]
        texts = {}
        for scene in scenes:
            key = json.dumps(scene.to_json(), sort_keys=True)
            assert texts.setdefault(ENGLISH.describe(scene), key) == key
