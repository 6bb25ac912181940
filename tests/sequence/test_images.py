"""Pictures to tensors and back: sizes, modes, patches."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from strokewise.errors import InputError
from strokewise.sequence import (
    ImageLimits,
    grid_positions,
    load_rgb,
    patchify,
    to_image,
    to_tensor,
    unpatchify,
)

CANVAS = ImageLimits(stride=16, smallest=512, largest=1024)
VISION = ImageLimits(stride=14, smallest=224, largest=980)


# --- sizes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "size", "expected"),
    [
        (CANVAS, (1024, 1024), (1024, 1024)),
        (CANVAS, (800, 600), (800, 608)),  # 600 / 16 = 37.5, rounded to even 38
        (CANVAS, (2048, 1024), (1024, 512)),
        (CANVAS, (4000, 1000), (1024, 256)),  # the largest side wins over the smallest
        (CANVAS, (256, 256), (512, 512)),
        (CANVAS, (100, 200), (512, 1024)),
        (VISION, (1024, 512), (980, 490)),
        (VISION, (100, 100), (224, 224)),
        (VISION, (223, 301), (224, 308)),
    ],
)
def test_fit_by_hand(limits, size, expected):
    assert limits.fit(*size) == expected


@given(
    st.sampled_from([CANVAS, VISION, ImageLimits(4, 8, 32)]),
    st.integers(1, 5000),
    st.floats(1, 16),
    st.booleans(),
)
def test_fit_stays_within_the_limits(limits, short, aspect, upright):
    size = (short, round(short * aspect)) if upright else (round(short * aspect), short)
    width, height = limits.fit(*size)
    for side in (width, height):
        assert side % limits.stride == 0
        assert limits.stride <= side <= limits.largest
    # The larger side stays the larger one, and a size that fits is left alone.
    assert (width >= height) if size[0] >= size[1] else (height >= width)
    assert limits.fit(width, height) == (width, height) or min(width, height) < limits.smallest


@given(st.integers(512, 1024), st.integers(512, 1024))
def test_fit_moves_a_side_within_the_limits_by_half_a_stride_at_most(width, height):
    fitted = CANVAS.fit(width, height)
    assert abs(fitted[0] - width) <= 8
    assert abs(fitted[1] - height) <= 8


@pytest.mark.parametrize("size", [(512, 1024), (16, 16), (1024, 32)])
def test_check_accepts_what_can_be_painted(size):
    CANVAS.check(*size)


@pytest.mark.parametrize(
    ("height", "width", "message"),
    [
        (500, 512, r"height 500 is not a multiple of 16 pixels; try 496"),
        (512, 1001, r"width 1001 is not a multiple of 16 pixels; try 1008"),
        (512, 3, r"width 3 is not a multiple of 16 pixels; try 16"),
        (0, 512, r"height 0 is not a multiple of 16 pixels; try 16"),
        (-16, 512, r"height -16 .*; try 16"),
        (512, 1040, r"width 1040 is over the model's largest side, 1024"),
    ],
)
def test_check_names_the_side_and_a_size_that_works(height, width, message):
    with pytest.raises(InputError, match=message):
        CANVAS.check(height, width)


# --- modes ---------------------------------------------------------------------------------------------


def test_rgb_is_left_alone(random_image):
    image = random_image(5, 7)
    assert load_rgb(image).tobytes() == image.tobytes()


def test_transparency_becomes_white():
    image = Image.new("RGBA", (2, 1), (255, 0, 0, 255))
    image.putpixel((1, 0), (0, 0, 255, 0))
    rgb = load_rgb(image)
    assert rgb.mode == "RGB"
    assert [rgb.getpixel((x, 0)) for x in (0, 1)] == [(255, 0, 0), (255, 255, 255)]


def test_half_transparency_is_blended_with_white():
    image = Image.new("RGBA", (1, 1), (0, 0, 0, 128))
    assert load_rgb(image).getpixel((0, 0)) == (127, 127, 127)


def test_grey_with_transparency():
    image = Image.new("LA", (1, 1), (10, 0))
    assert load_rgb(image).getpixel((0, 0)) == (255, 255, 255)


def test_a_palette_with_a_transparent_color():
    image = Image.new("P", (2, 1))
    image.putpalette([0, 200, 0, 9, 9, 9])
    image.putpixel((1, 0), 1)
    image.info["transparency"] = 1
    rgb = load_rgb(image)
    assert [rgb.getpixel((x, 0)) for x in (0, 1)] == [(0, 200, 0), (255, 255, 255)]


def test_rgb_with_a_transparent_color():
    image = Image.new("RGB", (2, 1), (1, 2, 3))
    image.putpixel((1, 0), (4, 5, 6))
    image.info["transparency"] = (1, 2, 3)
    rgb = load_rgb(image)
    assert [rgb.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (4, 5, 6)]


@pytest.mark.parametrize(
    ("mode", "color", "expected"),
    [
        ("L", 77, (77, 77, 77)),
        ("1", 1, (255, 255, 255)),
        ("CMYK", (0, 255, 255, 0), (255, 0, 0)),
        ("YCbCr", (100, 128, 128), (100, 100, 100)),
    ],
)
def test_other_modes_are_converted(mode, color, expected):
    rgb = load_rgb(Image.new(mode, (3, 2), color))
    assert (rgb.mode, rgb.size, rgb.getpixel((0, 0))) == ("RGB", (3, 2), expected)


@pytest.mark.parametrize("mode", ["F", "I"])
def test_32_bits_a_channel_are_refused(mode):
    with pytest.raises(InputError, match="32 bits; save it with 8 or 16"):
        load_rgb(Image.new(mode, (3, 2)))


def test_16_bits_are_scaled_and_exif_turns():
    assert load_rgb(Image.new("I;16", (3, 2), 40_000)).getpixel((0, 0)) == (156, 156, 156)
    turned = Image.new("RGB", (3, 2))
    turned.getexif()[0x112] = 6
    assert load_rgb(turned).size == (2, 3)


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (0, 0)])
def test_an_empty_image_is_refused(size):
    with pytest.raises(InputError, match="empty"):
        load_rgb(Image.new("RGB", size))


def test_a_thin_image_is_refused():
    load_rgb(Image.new("RGB", (160, 10)))
    with pytest.raises(InputError, match=r"161x10.*16-fold.*crop"):
        load_rgb(Image.new("RGB", (161, 10)))


# --- tensors and patches -------------------------------------------------------------------------------


def test_to_tensor_spans_minus_1_to_1():
    image = Image.new("RGB", (2, 1), (0, 255, 51))
    tensor = to_tensor(image)
    assert tensor.shape == (3, 1, 2)
    assert tensor.dtype == torch.float32
    torch.testing.assert_close(tensor[:, 0, 0], torch.tensor([-1.0, 1.0, -0.6]))


def test_rows_are_rows_and_columns_are_columns():
    image = Image.new("RGB", (4, 2))
    image.putpixel((3, 0), (255, 255, 255))
    assert (to_tensor(image)[0] > 0).nonzero().tolist() == [[0, 3]]


def test_an_image_survives_the_round_trip_through_a_tensor():
    levels = torch.arange(256, dtype=torch.uint8).reshape(16, 16)
    image = Image.fromarray(levels[:, :, None].expand(-1, -1, 3).contiguous().numpy())
    back = np.asarray(to_image(to_tensor(image))).astype(int)
    assert abs(back - np.asarray(image).astype(int)).max() <= 1  # truncation, as in BAGEL


def test_to_image_clamps():
    pixels = torch.tensor([-3.0, 3.0, 0.0]).reshape(3, 1, 1)
    assert to_image(pixels).getpixel((0, 0)) == (0, 255, 127)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_to_image_refuses_what_is_not_finite(value):
    pixels = torch.zeros(3, 2, 2)
    pixels[1, 0, 1] = value
    with pytest.raises(InputError, match="NaN or infinite"):
        to_image(pixels)


def test_to_image_takes_half_precision():
    assert to_image(torch.full((3, 1, 1), 1.0, dtype=torch.bfloat16)).getpixel((0, 0)) == (255, 255, 255)


def test_a_patch_is_row_column_channel():
    grid = torch.arange(2 * 4 * 6).reshape(2, 4, 6)
    tokens = patchify(grid, 2)
    assert tokens.shape == (6, 8)
    first = [grid[c, y, x].item() for y in (0, 1) for x in (0, 1) for c in (0, 1)]
    assert tokens[0].tolist() == first
    assert tokens[1, 0] == grid[0, 0, 2]  # the next token is the next column
    assert tokens[3, 0] == grid[0, 2, 0]  # then comes the next row


@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 5), st.integers(1, 5))
def test_unpatchify_undoes_patchify(channels, patch, rows, columns):
    grid = torch.randn(channels, rows * patch, columns * patch)
    tokens = patchify(grid, patch)
    assert tokens.shape == (rows * columns, patch * patch * channels)
    assert torch.equal(unpatchify(tokens, patch, rows, columns), grid)


def test_grid_positions():
    assert grid_positions(2, 3, 10).tolist() == [0, 1, 2, 10, 11, 12]
    assert grid_positions(1, 1, 70).tolist() == [0]
