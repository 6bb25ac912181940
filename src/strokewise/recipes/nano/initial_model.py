"""The model that nano's training begins with: a tokenizer, and random weights around a trained autoencoder.

Knows which texts nano reads and writes; what it is trained on is decided in ``stages``.
"""

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tokenizers import AddedToken, decoders, models, pre_tokenizers, trainers
from tokenizers import Tokenizer as RawTokenizer

from strokewise.data.build import MAKERS
from strokewise.data.canvas_painters import SpritePainter
from strokewise.models.bagel import fresh_model, nano, save_model
from strokewise.models.bagel.vae import Autoencoder
from strokewise.sequence import Tokenizer
from strokewise.sequence.tokenizer import IMAGE_END, IMAGE_START, SEQUENCE_END, TEXT_END, TEXT_START
from strokewise.trajectory.values import TAGS, to_parts

RECORDS = 400
VOCABULARY = 1000


def texts(seed: int) -> Iterator[str]:
    """Yield prompts and messages of records of all three subsets."""
    painter = SpritePainter(64)
    for subset, (make, mix) in MAKERS.items():
        for number in range(RECORDS):
            record = make(random.Random(f"tokenizer/{subset}/{seed}/{number}"), mix(), painter)
            yield from (part for part in to_parts(record.trajectory) if isinstance(part, str))


def nano_tokenizer(seed: int = 0) -> Tokenizer:
    """Return a byte-level pair tokenizer trained on the sprite world's language; each of the six tags is one
    token.

    Every byte is a token, so any text can be read; every word of the sprite world becomes one token.
    """
    raw = RawTokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    special = [SEQUENCE_END, TEXT_START, TEXT_END, IMAGE_START, IMAGE_END]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=special,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    raw.train_from_iterator(sorted(texts(seed)), trainer)
    tags = [f"<{slash}{tag}>" for tag in TAGS for slash in ("", "/")]
    raw.add_tokens([AddedToken(tag, normalized=False) for tag in tags])
    return Tokenizer(raw)


def write_initial_model(folder: Path, autoencoder: Autoencoder, seed: int = 0) -> None:
    """Write a model folder to start from: random weights, the given autoencoder, the tokenizer."""
    model = fresh_model(replace(nano(), autoencoder=autoencoder.config), seed)
    model.autoencoder.load_state_dict(autoencoder.state_dict())
    folder.mkdir(parents=True, exist_ok=True)
    save_model(model, folder)
    nano_tokenizer(seed).raw.save(str(folder / "tokenizer.json"))
