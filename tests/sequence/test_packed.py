"""Packing: who sees whom, positions, loss places, and what cannot be packed."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from strokewise.errors import ConfigError
from strokewise.sequence import Kind, PackSpec, Segment, SpecialTokens, grid_positions, pack

START, END, IMAGE, IMAGE_END = 1, 2, 3, 4
SPEC = PackSpec(
    SpecialTokens(START, END, IMAGE, IMAGE_END),
    latent_channels=8,
    latent_side=6,
    patch_channels=12,
    patch_side=5,
)


def text(*ids, **options):
    return Segment.text(ids, **options)


def image(kind, rows=1, columns=1, **options):
    width = SPEC.patch_channels if kind is Kind.VIT else SPEC.latent_channels
    tokens = torch.randn(rows * columns, width)
    if kind is Kind.NOISED:
        options = {"noise": torch.randn(rows * columns, width), "time": 0.25, **options}
    return Segment(kind, tokens, grid=(rows, columns), **options)


def in_order(packed, row=0):
    """Mask and positions of a row in the order of its sequence, padding left out."""
    layout = packed.layout
    columns = layout.valid[row].nonzero()[:, 0]
    order = columns[layout.place[row][columns].argsort()]
    assert layout.place[row][order].tolist() == list(range(len(order)))
    return layout.mask()[row][order][:, order], packed.positions[row][order]


def drawn(mask):
    return ["".join(".x"[int(seen)] for seen in row) for row in mask]


# --- the mask ------------------------------------------------------------------------------------------


TABLE = """
    x.. .... ... ... ..
    xx. .... ... ... ..
    xxx .... ... ... ..

    xxx xxxx ... ... ..
    xxx xxxx ... ... ..
    xxx xxxx ... ... ..
    xxx xxxx ... ... ..

    xxx xxxx xxx ... ..
    xxx xxxx xxx ... ..
    xxx xxxx xxx ... ..

    xxx xxxx ... xxx ..
    xxx xxxx ... xxx ..
    xxx xxxx ... xxx ..

    xxx xxxx ... xxx x.
    xxx xxxx ... xxx xx
"""


def test_mask_truth_table():
    """Text is causal, images are full, and a noised image is seen by itself only."""
    sample = [text(9), image(Kind.VIT, 1, 2), image(Kind.NOISED), image(Kind.CLEAN), text()]
    mask, _ = in_order(pack([[sample]], SPEC))
    assert drawn(mask) == [line.replace(" ", "") for line in TABLE.split("\n") if line]


KINDS = (Kind.TEXT, Kind.VIT, Kind.CLEAN, Kind.NOISED)


@pytest.mark.parametrize("query", KINDS)
@pytest.mark.parametrize("key", KINDS)
def test_every_kind_after_every_kind(query, key):
    """The later segment sees the earlier one entirely, or not at all if that is noised; never the reverse."""
    first, second = (text(9) if kind is Kind.TEXT else image(kind) for kind in (key, query))
    mask, _ = in_order(pack([[[first, second]]], SPEC))
    edge = first.length
    assert bool(mask[edge:, :edge].all()) is (key is not Kind.NOISED)
    assert bool(mask[edge:, :edge].any()) is (key is not Kind.NOISED)
    assert not mask[:edge, edge:].any()
    for kind, inside in ((key, mask[:edge, :edge]), (query, mask[edge:, edge:])):
        expected = torch.ones_like(inside)
        assert torch.equal(inside, expected.tril() if kind is Kind.TEXT else expected)


def test_samples_of_a_row_do_not_see_each_other():
    samples = [[text(9, 9), image(Kind.VIT)], [text(9), image(Kind.NOISED)], [image(Kind.CLEAN), text()]]
    mask, positions = in_order(pack([samples], SPEC))
    start = 0
    for sample in samples:
        alone, alone_positions = in_order(pack([[sample]], SPEC))
        here = slice(start, start + sum(segment.length for segment in sample))
        start = here.stop
        assert torch.equal(mask[here, here], alone)
        assert torch.equal(positions[here], alone_positions)
        mask[here, here] = False
    assert start == len(mask)
    assert not mask.any()


def test_padding_sees_padding_and_is_not_seen():
    rows = [[[text(9)]], [[text(9, 9, 9), image(Kind.CLEAN, 2, 2)]], [[image(Kind.NOISED)]]]
    packed = pack(rows, SPEC)
    assert packed.lengths().tolist() == [3, 11, 3]
    mask, valid = packed.layout.mask(), packed.layout.valid
    assert mask.diagonal(dim1=1, dim2=2).all()
    assert torch.equal(mask & ~(valid[:, :, None] & valid[:, None]), ~valid[:, :, None] & ~valid[:, None])
    for i, row in enumerate(rows):
        assert torch.equal(in_order(packed, i)[0], in_order(pack([row], SPEC))[0])


# --- ids and positions ---------------------------------------------------------------------------------


def test_positions():
    sample = [
        text(9, 9),  # 0 1 2 3
        image(Kind.VIT, 1, 2),  # all 4
        text(9),  # 5 6 7
        image(Kind.NOISED),  # all 8, and does not advance
        image(Kind.CLEAN),  # all 8
        image(Kind.VIT),  # all 9
        text(),  # 10 11
    ]
    _, positions = in_order(pack([[sample]], SPEC))
    assert positions.tolist() == [0, 1, 2, 3, *[4] * 4, 5, 6, 7, *[8] * 3, *[8] * 3, *[9] * 3, 10, 11]
    _, later = in_order(pack([[sample]], SPEC, starts=[100]))
    assert torch.equal(later, positions + 100)
    assert sum(segment.advance for segment in sample) == 12


def test_each_row_has_its_start_and_each_sample_of_a_training_row_begins_at_0():
    packed = pack([[[text(9)]], [[text(9)]]], SPEC, starts=[5, 70])
    assert packed.positions.tolist() == [[5, 6, 7], [70, 71, 72]]
    packed = pack([[[text(9)], [text(8)]]], SPEC)
    assert packed.positions.tolist() == [[0, 1, 2, 0, 1, 2]]


def test_ids_and_delimiters():
    sample = [text(9, 8), image(Kind.VIT, 1, 2), image(Kind.CLEAN, 1, 3)]
    packed = pack([[sample]], SPEC)
    assert packed.ids.tolist() == [[START, 9, 8, END, IMAGE, 0, 0, IMAGE_END, IMAGE, IMAGE_END]]
    assert packed.patch_slots.tolist() == [5, 6]
    assert packed.latents.shape == (1, 3, 8)
    assert packed.num_understanding == 10


@pytest.mark.parametrize(
    ("opens", "closes", "ids"),
    [
        (True, True, [START, 9, 8, END]),
        (True, False, [START, 9, 8]),
        (False, True, [9, 8, END]),
        (False, False, [9, 8]),
    ],
)
def test_a_text_opens_and_closes_as_asked(opens, closes, ids):
    segment = text(9, 8, opens=opens, closes=closes)
    packed = pack([[[segment]]], SPEC)
    assert packed.ids.tolist() == [ids]
    assert segment.length == segment.advance == len(ids)
    assert packed.positions.tolist() == [list(range(len(ids)))]


def test_images_of_several_rows_find_their_slots():
    first, second, third = image(Kind.VIT, 1, 2), image(Kind.VIT, 2, 2), image(Kind.VIT)
    packed = pack([[[text(9), first]], [[second, third]]], SPEC)
    assert packed.patch_lengths == (2, 4, 1)
    assert torch.equal(packed.patches, torch.cat([first.tokens, second.tokens, third.tokens]))
    places = [*grid_positions(1, 2, 5), *grid_positions(2, 2, 5), 0]
    assert packed.patch_places.tolist() == [int(place) for place in places]
    width = packed.num_understanding
    assert packed.patch_slots.tolist() == [4, 5, *range(width + 1, width + 5), width + 7]


def test_clean_latents_have_time_0_and_noised_ones_are_mixed():
    clean, noised = image(Kind.CLEAN, 1, 2), image(Kind.NOISED, 2, 2, time=0.25)
    packed = pack([[[clean, noised]]], SPEC)
    torch.testing.assert_close(packed.latents[0, :2], clean.tokens)
    torch.testing.assert_close(packed.latents[0, 2:], 0.75 * noised.tokens + 0.25 * noised.noise)
    assert packed.times.tolist() == [[0.0, 0.0, 0.25, 0.25, 0.25, 0.25]]
    assert packed.latent_places.tolist() == [[0, 1, 0, 1, 6, 7]]


def test_with_latents_changes_latents_and_time_only():
    packed = pack([[[text(9), image(Kind.NOISED, 1, 2)]]], SPEC)
    other = torch.randn(1, 2, 8)
    step = packed.with_latents(other, 0.5)
    assert torch.equal(step.latents, other)
    assert step.times.tolist() == [[0.5]]
    assert torch.equal(step.ids, packed.ids)
    assert torch.equal(step.positions, packed.positions)


# --- losses --------------------------------------------------------------------------------------------


def test_a_text_with_loss_predicts_each_next_id_up_to_its_end():
    packed = pack([[[text(7), text(9, 8, loss=True)]]], SPEC)
    ids = [START, 7, END, START, 9, 8, END]
    assert packed.ids[0].tolist() == ids
    assert packed.text_slots.tolist() == [3, 4, 5]
    assert packed.text_labels.tolist() == [9, 8, END]


def test_slots_count_rows_and_skip_what_is_not_text():
    rows = [[[image(Kind.VIT, 1, 2), text(9, loss=True)]], [[text(8, loss=True)]]]
    packed = pack(rows, SPEC)
    flat = packed.ids.flatten()
    assert packed.text_slots.tolist() == [4, 5, 7, 8]
    assert flat[packed.text_slots].tolist() == [START, 9, START, 8]
    assert packed.text_labels.tolist() == [9, END, 8, END]


@pytest.mark.parametrize("kind", KINDS)
def test_a_closing_delimiter_may_carry_a_label(kind):
    options = {"end_label": IMAGE}
    segment = text(9, **options) if kind is Kind.TEXT else image(kind, 1, 2, **options)
    packed = pack([[[segment]]], SPEC)
    closing = END if kind is Kind.TEXT else IMAGE_END
    assert packed.ids.flatten()[packed.text_slots].tolist() == [closing]
    assert packed.text_labels.tolist() == [IMAGE]


def test_velocities_are_supervised_where_a_noised_image_has_a_loss():
    silent, clean, loud = image(Kind.NOISED), image(Kind.CLEAN), image(Kind.NOISED, 1, 2, loss=True)
    packed = pack([[[text(9)], [silent, clean]], [[clean, loud]]], SPEC)
    assert packed.latents.shape[:2] == (2, 3)
    assert packed.latent_slots.tolist() == [4, 5]
    torch.testing.assert_close(packed.latent_targets, loud.noise - loud.tokens)
    flat = packed.latents.flatten(0, 1)[packed.latent_slots]
    torch.testing.assert_close(flat, 0.75 * loud.tokens + 0.25 * loud.noise)


def test_without_losses_the_loss_places_are_empty():
    packed = pack([[[text(9), image(Kind.NOISED), image(Kind.VIT)]]], SPEC)
    assert len(packed.text_slots) == len(packed.text_labels) == 0
    assert packed.latent_slots.shape == (0,)
    assert packed.latent_targets.shape == (0, 8)


# --- errors and any input ------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [[], [[]], [[[]]], [[[]], [[]]], [[[text(opens=False, closes=False)]]]])
def test_nothing_to_pack_is_an_error(rows):
    with pytest.raises(ConfigError, match="nothing to pack"):
        pack(rows, SPEC)


@pytest.mark.parametrize(
    ("segment", "message"),
    [
        (image(Kind.VIT, 6, 1), r"6x1 ViT tokens exceeds the model's 5x5"),
        (image(Kind.VIT, 1, 6), r"1x6 ViT tokens exceeds the model's 5x5"),
        (image(Kind.CLEAN, 7, 1), r"7x1 latent tokens exceeds the model's 6x6"),
        (image(Kind.NOISED, 1, 7), r"1x7 latent tokens exceeds the model's 6x6"),
    ],
)
def test_an_image_over_the_position_table_is_an_error(segment, message):
    with pytest.raises(ConfigError, match=message):
        pack([[[segment]]], SPEC)


SEGMENTS = st.one_of(
    st.lists(st.integers(5, 20), max_size=4).map(lambda ids: text(*ids, loss=True)),
    st.builds(
        image, st.sampled_from([Kind.VIT, Kind.CLEAN, Kind.NOISED]), st.integers(1, 3), st.integers(1, 3)
    ),
)
SAMPLES = st.lists(SEGMENTS, min_size=1, max_size=4)


@given(st.lists(st.lists(SAMPLES, min_size=1, max_size=2), min_size=1, max_size=3))
def test_any_batch_keeps_order_lengths_and_labels(rows):
    packed = pack(rows, SPEC)
    lengths = [sum(s.length for sample in row for s in sample) for row in rows]
    assert packed.lengths().tolist() == lengths
    for i, row in enumerate(rows):
        mask, positions = in_order(packed, i)
        alone_mask, alone_positions = in_order(pack([row], SPEC))
        assert torch.equal(mask, alone_mask)
        assert torch.equal(positions, alone_positions)
        assert bool(mask.diagonal().all())
    # Where a text has a loss, the label is the id that stands next to it.
    flat = packed.ids.flatten()
    assert torch.equal(flat[packed.text_slots + 1], packed.text_labels)
