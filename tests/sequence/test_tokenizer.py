"""The tokenizer from one file, from Qwen2's separate files, and its special ids."""

import json

import pytest
from tokenizers import AddedToken, Regex, decoders, normalizers, pre_tokenizers, trainers
from tokenizers import Tokenizer as RawTokenizer
from tokenizers.models import BPE

from strokewise.errors import CheckpointError
from strokewise.sequence import Tokenizer
from strokewise.sequence.tokenizer import QWEN2_WORDS

TEXTS = [
    "two red apples to the left of a blue dog",
    "The dog's hat isn't red; it's 12 times bluer!\n\n  Refine it.",
    "a bench, 3 cats & one café über naïve 漢字 \U0001f600",
    "  spaces   and\ttabs\r\nand lines \n",
]
# As in Qwen2, the delimiters come after the vocabulary, next to tokens of other uses.
ADDED = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>"]


@pytest.fixture(scope="module")
def raw():
    """A byte-level tokenizer trained on the texts of this file."""
    tokenizer = RawTokenizer(BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2_WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=320, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in ADDED])
    return tokenizer


@pytest.fixture
def one_file(raw, tmp_path):
    folder = tmp_path / "one"
    folder.mkdir()
    raw.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture
def separate_files(raw, tmp_path):
    folder = tmp_path / "separate"
    folder.mkdir()
    raw.model.save(str(folder))
    # In the released file the entries are not in order of their ids.
    added = {str(raw.token_to_id(t)): {"content": t, "special": True} for t in reversed(ADDED)}
    (folder / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": added}))
    return folder


@pytest.mark.parametrize("text", TEXTS)
def test_both_layouts_give_the_same_ids(raw, one_file, separate_files, text):
    expected = raw.encode(text, add_special_tokens=False).ids
    assert Tokenizer.load(one_file).encode(text) == expected
    assert Tokenizer.load(separate_files).encode(text) == expected


@pytest.mark.parametrize("text", [*TEXTS, "", "\x00\x7f", "never seen: ß€"])
def test_text_survives_the_round_trip(separate_files, text):
    tokenizer = Tokenizer.load(separate_files)
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_words_are_cut_as_qwen2_does(raw):
    words = [word for word, _ in raw.pre_tokenizer.pre_tokenize_str("it's 12 cats,\n ok")]
    assert words == ["it", "'s", "Ġ", "1", "2", "Ġcats", ",Ċ", "Ġok"]


@pytest.mark.parametrize("layout", ["one_file", "separate_files"])
def test_special_ids(raw, request, layout):
    tokenizer = Tokenizer.load(request.getfixturevalue(layout))
    special = tokenizer.special
    named = (
        special.sequence_end,
        special.text_start,
        special.text_end,
        special.image_start,
        special.image_end,
    )
    assert named == tuple(raw.token_to_id(token) for token in ADDED)
    assert tokenizer.vocab_size == raw.get_vocab_size()
    assert tokenizer.encode("a<|im_end|>")[-1] == special.text_end
    assert tokenizer.decode([special.text_start, *tokenizer.encode("dog"), special.text_end]) == "dog"


def test_delimiters_that_are_missing_are_added_at_the_end(raw, tmp_path):
    raw.model.save(str(tmp_path))
    tokenizer = Tokenizer.load(tmp_path)
    base = raw.get_vocab_size(with_added_tokens=False)
    special = tokenizer.special
    ids = [special.text_start, special.text_end, special.image_start, special.image_end]
    assert ids == [base, base + 1, base + 2, base + 3]
    assert special.sequence_end is None
    assert tokenizer.vocab_size == base + 4
    assert tokenizer.encode("x<|vision_start|>")[-1] == special.image_start


def test_missing_files_are_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"tokenizer\.json, or vocab\.json and merges\.txt"):
        Tokenizer.load(tmp_path)


def test_half_of_the_separate_files_is_not_enough(separate_files):
    (separate_files / "merges.txt").unlink()
    with pytest.raises(CheckpointError, match=r"merges\.txt"):
        Tokenizer.load(separate_files)


@pytest.mark.parametrize("name", ["tokenizer.json", "vocab.json", "tokenizer_config.json"])
def test_damaged_files_are_an_error_with_the_folder(one_file, separate_files, name):
    folder = one_file if name == "tokenizer.json" else separate_files
    (folder / name).write_text('{"trunc')
    with pytest.raises(CheckpointError, match="cannot be read") as caught:
        Tokenizer.load(folder)
    assert str(folder) in str(caught.value)
