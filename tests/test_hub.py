"""Models to a hub and back, at a revision, with cards; the hub is a local one, its client the real one."""

import pytest
import torch
from safetensors.torch import load_file
from tests.hub_server import serve

from strokewise.cli.main import _run
from strokewise.errors import CheckpointError, ConfigError
from strokewise.inference.painter import Painter
from strokewise.models.hub import push_folder


@pytest.fixture
def hub(tmp_path, monkeypatch):
    from huggingface_hub import constants

    found, address, server = serve()
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    yield found
    server.shutdown()
    server.server_close()


def test_a_model_goes_to_the_hub_and_comes_back_at_a_revision(hub, tiny_folder):
    painter = Painter.from_pretrained(tiny_folder)
    address = painter.push_to_hub("me/tiny", card="# first", private=True)
    number = address.rsplit("/", 1)[-1]
    assert hub.private == {"me/tiny": True}
    assert hub.branches["me/tiny"]["main"] == number
    with torch.no_grad():
        painter.generator.model.language.head.weight.zero_()
    painter.push_to_hub("me/tiny", card="# second")

    first, second = Painter.from_pretrained("me/tiny", revision=number), Painter.from_pretrained("me/tiny")
    stored = load_file(tiny_folder / "model.safetensors")["language.head.weight"]
    assert torch.equal(first.generator.model.language.head.weight, stored)
    assert not second.generator.model.language.head.weight.any()
    assert first.tokenizer.raw.to_str() == painter.tokenizer.raw.to_str()
    assert Painter.load(f"me/tiny@{number}").name == f"me/tiny@{number}"
    with pytest.raises(CheckpointError, match="cannot get me/tiny@nowhere"):
        Painter.from_pretrained("me/tiny", revision="nowhere")


def test_only_safetensors_and_texts_are_uploaded(hub, tiny_folder, tmp_path, capsys):
    folder = tmp_path / "model"
    Painter.from_pretrained(tiny_folder).save_pretrained(folder, layout="bagel", card="# card")
    (folder / "optimizer.bin").write_bytes(b"pickle")
    (folder / "step_1").mkdir()
    (folder / "step_1" / "other.safetensors").write_bytes(b"")
    assert _run(["hub", "push", str(folder), "me/branch", "--revision", "next"]) == 0
    assert capsys.readouterr().out.strip().endswith(hub.branches["me/branch"]["next"])
    names = set(hub.commits[hub.branches["me/branch"]["next"]]) - {".gitattributes"}
    weights = {"ema.safetensors", "ae.safetensors", "model.safetensors.index.json"}
    assert names == weights | {
        "llm_config.json",
        "vit_config.json",
        "config.json",
        "tokenizer.json",
        "README.md",
    }
    assert set(hub.commits[hub.branches["me/branch"]["main"]]) == {".gitattributes"}


def test_what_cannot_be_uploaded_is_refused_before_anything_is_sent(hub, tiny_folder, tmp_path, capsys):
    assert _run(["hub", "push", str(tiny_folder), "me/bare"]) == 2
    assert "README.md" in capsys.readouterr().err
    (tmp_path / "README.md").write_text("# nothing")
    with pytest.raises(CheckpointError, match="holds no model"):
        push_folder(tmp_path, "me/empty")
    assert not hub.private
    painter = Painter.from_pretrained(tiny_folder)
    with pytest.raises(CheckpointError, match="check the name"):
        painter.push_to_hub("no/such/name", card="# card")
    hub.refuses = True
    with pytest.raises(CheckpointError, match="logged in"):
        painter.push_to_hub("me/tiny", card="# card")


def test_mistakes_of_callers_are_named(tiny_folder, tmp_path):
    with pytest.raises(ConfigError, match="has no revisions"):
        Painter.from_pretrained(tiny_folder, revision="main")
    painter = Painter.from_pretrained(tiny_folder)
    with pytest.raises(ConfigError, match="unknown layout 'pickle'; known are strokewise, bagel"):
        painter.save_pretrained(tmp_path / "out", layout="pickle")
    made = Painter(painter.generator.model, painter.tokenizer)
    with pytest.raises(CheckpointError, match="not loaded from a checkpoint"):
        made.save_pretrained(tmp_path / "out")
