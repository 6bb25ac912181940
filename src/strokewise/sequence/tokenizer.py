"""Text to ids and back, and the ids of the special tokens.

Knows one tokenizer file and four to five special tokens; refuses to know tags and prompts.
"""

from dataclasses import dataclass
from pathlib import Path

from tokenizers import AddedToken, Regex, decoders, normalizers, pre_tokenizers
from tokenizers import Tokenizer as RawTokenizer
from tokenizers.models import BPE

from strokewise.errors import CheckpointError
from strokewise.io.outside import check_downloaded, read_object, read_text

TEXT_START, TEXT_END = "<|im_start|>", "<|im_end|>"
IMAGE_START, IMAGE_END = "<|vision_start|>", "<|vision_end|>"
SEQUENCE_END = "<|endoftext|>"

# How Qwen2 cuts text into words before byte-pair merging (a fact of its released tokenizer).
QWEN2_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True)
class SpecialTokens:
    """Ids of the delimiters: a text is text_start ids text_end, an image image_start tokens image_end."""

    text_start: int
    text_end: int
    image_start: int
    image_end: int
    sequence_end: int | None = None


class Tokenizer:
    """A byte-pair tokenizer together with the special ids of the checkpoint it belongs to."""

    def __init__(self, raw: RawTokenizer) -> None:
        """Wrap ``raw``; delimiters it lacks are added at the end of its vocabulary, as BAGEL does."""
        self.raw = raw
        for token in (TEXT_START, TEXT_END, IMAGE_START, IMAGE_END):
            if raw.token_to_id(token) is None:
                raw.add_special_tokens([AddedToken(token, special=True, normalized=False)])
        self.special = SpecialTokens(
            text_start=self._id(TEXT_START),
            text_end=self._id(TEXT_END),
            image_start=self._id(IMAGE_START),
            image_end=self._id(IMAGE_END),
            sequence_end=raw.token_to_id(SEQUENCE_END),
        )

    @classmethod
    def load(cls, folder: Path) -> "Tokenizer":
        """Read ``tokenizer.json``, or Qwen2's ``vocab.json`` and ``merges.txt``, from a checkpoint folder.

        Raises:
            CheckpointError: if neither is there or a file cannot be read.
        """
        whole, vocab, merges = (folder / name for name in ("tokenizer.json", "vocab.json", "merges.txt"))
        try:
            if whole.exists():
                return cls(RawTokenizer.from_str(read_text(whole, CheckpointError)))
            if vocab.exists() and merges.exists():
                return cls(_qwen2(vocab, merges, folder / "tokenizer_config.json"))
        except CheckpointError:
            raise
        except Exception as error:  # the library raises bare Exception
            raise CheckpointError(f"the tokenizer files in {folder} cannot be read: {error}") from error
        raise CheckpointError(
            f"no tokenizer in {folder}: expected tokenizer.json, or vocab.json and merges.txt"
        )

    def _id(self, token: str) -> int:
        found = self.raw.token_to_id(token)
        assert found is not None, f"{token} was added"
        return found

    @property
    def vocab_size(self) -> int:
        """Number of ids, special ones included."""
        return self.raw.get_vocab_size()

    def encode(self, text: str) -> list[int]:
        """Return ids of a text, without delimiters."""
        return self.raw.encode(text, add_special_tokens=False).ids

    def decode(self, ids: list[int]) -> str:
        """Return the text of ids; special tokens are left out."""
        return self.raw.decode(ids, skip_special_tokens=True)


def _qwen2(vocab: Path, merges: Path, config: Path) -> RawTokenizer:
    """Put Qwen2's byte-level tokenizer together from its separate files."""
    for file in (vocab, merges):
        check_downloaded(file, CheckpointError)
    raw = RawTokenizer(BPE.from_file(str(vocab), str(merges)))
    raw.normalizer = normalizers.NFC()
    raw.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2_WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    raw.decoder = decoders.ByteLevel()
    if config.exists():
        added = read_object(config, CheckpointError).get("added_tokens_decoder", {})
        # Ids are given in the order of adding, so it must be that of the released ids.
        ordered = sorted(added.items(), key=lambda item: int(item[0]))
        raw.add_tokens(
            [AddedToken(entry["content"], special=entry.get("special", False)) for _, entry in ordered]
        )
    return raw
