"""Ablations: variants differ in their data alone, and tables hold what was measured."""

import pytest

from strokewise.datasets.records import Rendered, Shards
from strokewise.errors import ConfigError
from strokewise.evals import ablations
from strokewise.evals.ablations import SELF_SAMPLED, SYMBOLIC, TABLES, Ablation
from strokewise.evals.prompt_sets import load_prompts


@pytest.fixture
def ablation(tmp_path):
    return Ablation(tmp_path / "base", tmp_path / "own", tmp_path, 40, load_prompts("geneval")[:3])


def sources(ablation, variant):
    return {entry.name: entry.source for entry in ablation.config(variant).sources}


@pytest.mark.parametrize("variant", {v.name: v for rows in TABLES.values() for v in rows.values()}.values())
def test_a_variant_has_the_data_it_is_named_for(ablation, variant):
    found = sources(ablation, variant)
    assert ("conflict process" in found) == bool(variant.conflict)
    assert ("alignment process" in found) == bool(variant.alignment)
    for name in ("conflict", "alignment"):
        kinds = {SELF_SAMPLED: Shards, SYMBOLIC: Rendered, "": type(None)}
        assert type(found.get(f"{name} process")) is kinds[getattr(variant, name)]
    assert (found["multi-turn process"].edit_share == 0.0) == (not variant.edits)
    assert ("canvas verification" in found) == (variant.alignment == SYMBOLIC)
    assert found["multi-turn caption"].view == "caption"


def test_variants_share_all_but_their_data(ablation):
    plain = []
    for rows in TABLES.values():
        for variant in rows.values():
            values = ablation.config(variant).to_dict()
            values.pop("sources")
            plain.append(values)
    assert all(values == plain[0] for values in plain)
    assert plain[0]["steps"] == 40
    assert plain[0]["warmup_steps"] == 4


def test_additive_data_only_adds(ablation, tiny_tokenizer):
    found = sources(ablation, TABLES["instructions"]["additive only"])
    additive = found["multi-turn process"].open(tiny_tokenizer)
    assert additive.config.edit_share == 0.0
    assert additive.sample(3).parts


def test_tables_that_are_not_there(ablation):
    with pytest.raises(ConfigError, match="unknown tables colors; known are instructions"):
        ablations.ablate(ablation, ["colors"])
