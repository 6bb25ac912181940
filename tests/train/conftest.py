"""A tiny checkpoint to start from, and the toy world."""

import importlib.util
import sys
from pathlib import Path

import pytest

TOY = Path(__file__).with_name("toy.py")


@pytest.fixture(scope="session")
def toy():
    """The module ``toy.py``."""
    spec = importlib.util.spec_from_file_location("toy", TOY)
    module = importlib.util.module_from_spec(spec)
    sys.modules["toy"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["toy"]


@pytest.fixture(scope="session")
def start(tmp_path_factory, tiny_config, make_model):
    """A folder with tiny random weights and a tokenizer of as many words."""
    from tokenizers import Tokenizer as Raw
    from tokenizers.models import WordLevel

    from strokewise.model import save_model

    folder = tmp_path_factory.mktemp("start")
    save_model(make_model(tiny_config), folder)
    words = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>"]
    words += [f"w{i}" for i in range(len(words), tiny_config.language.vocab_size)]
    raw = Raw(WordLevel({word: i for i, word in enumerate(words)}, unk_token="w5"))
    raw.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(autouse=True)
def one_thread():
    import torch

    torch.set_num_threads(1)
