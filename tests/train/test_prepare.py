"""Which tokens are supervised, which conditions are left out, and that packing agrees."""

import numpy as np
import pytest
import torch

from strokewise.datasets.prepare import Preparer
from strokewise.datasets.samples import Sample, SampleImage, SampleText
from strokewise.errors import ContextLengthError
from strokewise.sequence import pack
from strokewise.train.config import Dropout

NONE = Dropout(0, 0, 0, 0)
BLANK = np.zeros((16, 16, 3), np.uint8)


def text(n=3, **options):
    return SampleText(tuple(range(10, 10 + n)), **options)


def drawn(**options):
    return SampleImage(BLANK, **options)


TRAJECTORY = Sample(
    (
        text(),
        text(2, loss=True),
        drawn(loss=True),
        text(4, loss=True),
        text(2, loss=True),
        drawn(loss=True),
        text(3, loss=True),
    )
)


@pytest.fixture
def prepared(tiny_config, special):
    def make(sample, dropout=NONE, seed=0, shift=1.0):
        preparer = Preparer(tiny_config, special, dropout, shift)
        return preparer.prepare(sample, seed)

    return make


def test_noised_copies_are_unseen_by_all_else(tiny_config, tiny_model, special):
    """Each copy gets the velocity it would get alone, and what follows does not change."""
    copied = Preparer(tiny_config, special, NONE, 1.0, 3).prepare(TRAJECTORY, 0)
    assert kinds(copied) == "ttnnncvttnnncvt"
    latents = [torch.randn(len(copied.segments[2].tokens), 12) for _ in range(2)]
    latents = [value[:, :1].expand(-1, copied.segments[2].tokens.shape[1]) for value in latents]
    segments = copied.filled(latents)
    assert len({segment.time for segment in segments if segment.kind == "noised"}) == 6
    spec = tiny_model.pack_spec(special)

    def run(row):
        packed = pack([[row]], spec)
        hidden = tiny_model(packed, packed.layout.mask())
        return hidden.generation[0, packed.latent_slots], hidden.understanding[0, packed.text_slots]

    with torch.no_grad():
        together, texts = run(segments)
        for copy in range(3):
            alone = [s for i, s in enumerate(segments) if s.kind != "noised" or i in (2 + copy, 9 + copy)]
            velocities, same = run(alone)
            torch.testing.assert_close(velocities, together.unflatten(0, (2, 3, -1))[:, copy].flatten(0, 1))
            torch.testing.assert_close(same, texts)


def kinds(made):
    return "".join(segment.kind[0] for segment in made.segments)


def test_a_trajectory_in_order(prepared, special):
    made = prepared(TRAJECTORY)
    assert kinds(made) == "ttncvttncvt"
    assert made.canvas_of == (None, None, 0, 0, None, None, None, 1, 1, None, None)
    labels = [segment.end_label for segment in made.segments]
    image, following, end = special.image_start, special.text_start, special.sequence_end
    assert labels == [None, image, None, None, following, following, image, None, None, following, end]
    assert [s.loss for s in made.segments] == [
        *(False, True, True, False, False),
        *(True, True, True, False, False, True),
    ]


def test_no_token_of_the_prompt_is_supervised(prepared, tiny_model, special):
    made = prepared(TRAJECTORY)
    filled = made.filled([torch.zeros(16, 16)] * 2)
    packed = pack([[filled]], tiny_model.pack_spec(special))
    prompt = 5
    assert packed.text_slots.min() >= prompt
    own = sum(s.length - 1 for s in filled if s.is_text and s.loss)
    ends = sum(s.end_label is not None for s in filled)
    assert len(packed.text_labels) == own + ends
    assert packed.text_labels[-1] == special.sequence_end
    assert len(packed.latent_slots) == 32


def test_a_picture_without_loss_is_only_shown(prepared):
    made = prepared(Sample((text(), drawn(), text(loss=True), drawn(loss=True)), ends=False))
    assert kinds(made) == "tcvtn"


def test_a_last_picture_is_shown_only_if_the_end_is_supervised(prepared, special):
    parts = (text(), drawn(loss=True))
    assert kinds(prepared(Sample(parts, ends=False))) == "tn"
    ended = prepared(Sample(parts))
    assert kinds(ended) == "tncv"
    assert ended.segments[-1].end_label == special.sequence_end


def test_noise_and_times_follow_from_the_seed(prepared):
    one, again, other = (prepared(TRAJECTORY, seed=s).segments[2] for s in (1, 1, 2))
    assert torch.equal(one.noise, again.noise)
    assert one.time == again.time
    assert not torch.equal(one.noise, other.noise)
    assert 0 < one.time < 1 != other.time


def test_times_are_logit_normal_and_shifted(prepared):
    sample = Sample((drawn(loss=True),), ends=False)
    plain = torch.tensor([prepared(sample, seed=i).segments[0].time for i in range(400)])
    logits = torch.logit(plain)
    assert abs(float(logits.mean())) < 0.15
    assert abs(float(logits.std()) - 1) < 0.12
    shifted = torch.tensor([prepared(sample, seed=i, shift=3.0).segments[0].time for i in range(400)])
    torch.testing.assert_close(shifted, 3 * plain / (1 + 2 * plain))


EDIT = Sample((text(), drawn(), text(2), drawn(loss=True)), ends=False)


def test_dropped_images_still_take_their_positions(prepared, tiny_model, special):
    spec = tiny_model.pack_spec(special)

    def painted_at(made):
        packed = pack([[made.filled([torch.zeros(16, 16)] * 2)]], spec)
        return int(packed.positions[0, packed.num_understanding :][-1])

    whole = prepared(EDIT)
    assert kinds(whole) == "tcvtn"
    for dropout, left in (
        (Dropout(0, 1, 0, 0), "tctn"),
        (Dropout(0, 0, 1, 0), "tvtn"),
        (Dropout(0, 1, 1, 0), "ttn"),
    ):
        made = prepared(EDIT, dropout)
        assert kinds(made) == left
        assert painted_at(made) == painted_at(whole)


def test_dropped_texts_are_those_that_guidance_leaves_out(prepared):
    only = Dropout(1, 0, 0, 0)
    assert kinds(prepared(EDIT, only)) == "tcvn"
    system = Sample((text(guided=False), text(), drawn(loss=True)), ends=False)
    assert kinds(prepared(system, only)) == "tn"
    cut = prepared(TRAJECTORY, Dropout(1, 0, 0, 1), seed=3)
    assert kinds(cut) in ("n", "ttncvn")


def test_rates_are_as_asked(prepared):
    rates = Dropout(0.1, 0.3, 0.3, 0.0)
    found = [kinds(prepared(EDIT, rates, seed=i)) for i in range(1000)]
    for letter, share in (("c", 0.7), ("v", 0.7), ("tcv", None)):
        if share is not None:
            assert abs(sum(letter in k for k in found) / 1000 - share) < 0.05
    assert abs(sum(k.count("t") == 2 for k in found) / 1000 - 0.9) < 0.03


def test_what_a_text_speaks_of_is_never_dropped(prepared):
    assert kinds(prepared(TRAJECTORY, Dropout(1, 1, 1, 0))) == "ttncvttncvt"
    reading = Sample((drawn(), text(loss=True)))
    assert kinds(prepared(reading, Dropout(1, 1, 1, 1))) == "cvt"


def test_cut_trajectories_teach_only_images(prepared):
    found = [prepared(TRAJECTORY, Dropout(0, 0, 0, 0.5), seed=i) for i in range(300)]
    cut = [made for made in found if made.length < prepared(TRAJECTORY).length]
    assert abs(len(cut) / 300 - 0.5) < 0.1
    assert {kinds(made) for made in cut} == {"ttn", "ttncvttn"}
    assert all(not s.loss and s.end_label is None for made in cut for s in made.segments if s.is_text)


def test_too_long_for_the_positions(prepared):
    with pytest.raises(ContextLengthError, match="600"):
        prepared(Sample((text(598, loss=True),)))


def test_pictures_are_resized_as_the_generator_does(prepared, generator, random_image):
    image = random_image(50, 24)
    made = prepared(Sample((SampleImage(np.asarray(image)), text(loss=True))))
    shown = generator.image_segments(image)
    assert made.segments[0].grid == shown[0].grid
    assert torch.equal(made.segments[1].tokens, shown[1].tokens)


def test_what_is_given_of_a_text_carries_no_loss_and_changes_nothing_else(tiny_model, prepared, special):
    """The first token behind it is supervised, and every token is seen as in one whole text."""
    spec = tiny_model.pack_spec(special)
    whole = prepared(Sample((text(2), text(5, loss=True))))
    parted = prepared(Sample((text(2), text(5, loss=True, given=3))))
    packs = [pack([[list(made.segments)]], spec) for made in (whole, parted)]
    assert torch.equal(packs[0].ids, packs[1].ids)
    assert torch.equal(packs[0].positions, packs[1].positions)
    labels = [list(zip(p.text_slots.tolist(), p.text_labels.tolist(), strict=True)) for p in packs]
    assert labels[1] == labels[0][3:]
    hidden = [tiny_model(p, p.layout.mask()).understanding for p in packs]
    torch.testing.assert_close(hidden[0], hidden[1])
