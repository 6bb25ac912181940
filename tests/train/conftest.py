"""A tiny checkpoint to start from, and the toy world."""

import importlib.util
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@contextmanager
def module(name):
    """A module beside the tests."""
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    found = importlib.util.module_from_spec(spec)
    sys.modules[name] = found
    spec.loader.exec_module(found)
    yield found
    del sys.modules[name]


@pytest.fixture(scope="session")
def toy():
    """The module ``toy.py``."""
    with module("toy") as found:
        yield found


@pytest.fixture(scope="session")
def single_stream():
    """The module ``single_stream.py``, its architecture registered."""
    from strokewise.models import registry

    with module("single_stream") as found:
        registry.register(found.ARCHITECTURE)
        yield found
        del registry._registered[found.ARCHITECTURE.name]


@pytest.fixture(scope="session")
def careless():
    """The class of a sampler that makes mistakes."""
    with module("careless") as found:
        yield found.Careless


@pytest.fixture(scope="session")
def tokenizer():
    """The shipped model's tokenizer."""
    from strokewise.models import find_checkpoint
    from strokewise.sequence import Tokenizer

    return Tokenizer.load(find_checkpoint("nano"))


@pytest.fixture(scope="session")
def start(tmp_path_factory, tiny_config, make_model):
    """A folder with tiny random weights and a tokenizer of as many words."""
    from tokenizers import Tokenizer as Raw
    from tokenizers.models import WordLevel

    from strokewise.models.bagel import save_model

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
