"""Outside files: read as they are meant, or refused with an error of ours; nothing else for any bytes."""

import gzip
import io
import json
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from strokewise.errors import CheckpointError, InputError, RecordError
from strokewise.io import outside
from strokewise.io.outside import (
    FORMATS,
    MAX_DEPTH,
    decode_picture,
    decode_pixels,
    parse_json,
    read_bytes,
    read_json_lines,
    read_lines,
    read_object,
    read_picture,
    read_text,
)

RED = (255, 0, 0)


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(mode="RGB", size=(24, 16)):
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


EXIF = Image.Exif()
EXIF[0x0112] = 6  # turned by a quarter
EXAMPLES = {
    "png": encoded(noise()),
    "png-palette": encoded(noise("P"), transparency=3),
    "png-gray16": encoded(Image.fromarray(np.arange(384, dtype=np.uint16).reshape(16, 24) * 170)),
    "png-alpha": encoded(noise("RGBA"), exif=EXIF),
    "jpeg": encoded(noise(), "JPEG", exif=EXIF),
    "jpeg-cmyk": encoded(noise("CMYK"), "JPEG"),
    "webp": encoded(noise("RGBA"), "WEBP", exif=EXIF),
    "bmp": encoded(noise(), "BMP"),
    "gif": encoded(noise("P"), "GIF", save_all=True, append_images=[noise("P").rotate(90)]),
    "tiff": encoded(noise(), "TIFF", compression="tiff_lzw"),
    "tiff-raw": encoded(noise("RGBA"), "TIFF", exif=EXIF),
}


class TestText:
    @pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
    def test_utf8_with_or_without_a_mark(self, tmp_path, mark):
        (tmp_path / "a.txt").write_bytes(mark + "ein Löwe\r\n\r\n  a cat \n".encode())
        assert read_lines(tmp_path / "a.txt") == ["ein Löwe", "a cat"]

    @pytest.mark.parametrize("character", ["\0", "\t", "\x1b", "\x7f", "\x9b"])
    def test_lines_with_control_characters_are_refused(self, tmp_path, character):
        (tmp_path / "a.txt").write_text(f"a cat\n\na{character}dog\n")
        with pytest.raises(InputError, match=r"a\.txt, line 3: it holds control characters"):
            read_lines(tmp_path / "a.txt")

    def test_other_invisible_characters_are_text(self, tmp_path):
        joined = "an astronaut 👩\u200d🚀 at\u00a0noon"
        (tmp_path / "a.txt").write_text(joined)
        assert read_lines(tmp_path / "a.txt") == [joined]

    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            ("a cat".encode("utf-16"), "it is UTF-16; save it as UTF-8"),
            ("Löwe".encode("latin-1"), "byte 1 is not UTF-8"),
            (b"a\xed\xa0\x80", "byte 1 is not UTF-8"),
        ],
    )
    def test_other_encodings_are_named(self, tmp_path, data, reason):
        (tmp_path / "a.txt").write_bytes(data)
        with pytest.raises(InputError, match=rf"a\.txt cannot be read as a text: {reason}"):
            read_text(tmp_path / "a.txt")

    def test_what_is_no_file(self, tmp_path):
        for path in (tmp_path, tmp_path / "none", tmp_path / ("a" * 300), tmp_path / "a\0b"):
            with pytest.raises(CheckpointError, match="cannot be read"):
                read_bytes(path, CheckpointError)

    def test_size_is_bounded_after_decompression(self, tmp_path, monkeypatch):
        monkeypatch.setattr(outside, "MAX_BYTES", 2**20)
        (tmp_path / "a").write_bytes(bytes(2**20))
        assert len(read_bytes(tmp_path / "a")) == 2**20
        (tmp_path / "a.gz").write_bytes(gzip.compress(bytes(2**20 + 1)))
        with pytest.raises(InputError, match=r"a\.gz cannot be read: it is larger than 1 MiB"):
            read_bytes(tmp_path / "a.gz")

    @given(st.integers(0, 40), st.integers(0, 255), st.booleans())
    def test_damaged_gzip(self, tmp_path_factory, position, byte, cut):
        path = tmp_path_factory.getbasetemp() / "damaged.gz"
        data = bytearray(gzip.compress(b"some text that is compressed", mtime=0))
        data[position % len(data)] = byte
        path.write_bytes(data[:position] if cut else data)
        with suppress(InputError):
            read_bytes(path)


class TestJson:
    @pytest.mark.parametrize(
        "text",
        [
            *("", "{", "nul", "[NaN]", "[1e999]", "-Infinity", '"\\ud800"', '{"\\udfff": 1}', "1" * 5000),
            *("[" * 100_000, "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), '{"a":' * 70 + "1" + "}" * 70),
        ],
        ids=range(12),
    )
    def test_what_cannot_be_used_is_refused(self, text):
        with pytest.raises(RecordError, match=r"^here cannot be read as JSON: "):
            parse_json(text, "here")

    def test_what_can_be_used(self):
        deep = "[" * MAX_DEPTH + "]" * MAX_DEPTH
        assert json.dumps(parse_json(deep, "here")) == deep
        assert parse_json(b'\xef\xbb\xbf{"a": "\\ud83d\\ude00"}', "here") == {"a": "😀"}

    @settings(max_examples=200)
    @given(st.binary(max_size=40) | st.text('{}[]",:\\u0d8e1.-nulltrue \ufeff', max_size=40))
    def test_any_text_is_read_or_refused(self, text):
        try:
            value = parse_json(text, "here")
        except RecordError:
            return
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()

    def test_objects_and_lines(self, tmp_path):
        path = tmp_path / "a.jsonl"
        path.write_text('{"a": 1}\n\n{"a": 2}\n[3]\n')
        lines = read_json_lines(path)
        assert [next(lines), next(lines)] == [(f"{path}, line 1", {"a": 1}), (f"{path}, line 3", {"a": 2})]
        with pytest.raises(RecordError, match=r"a\.jsonl, line 4: no object"):
            next(lines)
        path.write_text('{"a": 1}\n{"a"')
        assert len(list(read_json_lines(path, torn=True))) == 1
        with pytest.raises(InputError, match=r"a\.jsonl, line 2 cannot be read as JSON"):
            list(read_json_lines(path, InputError))
        path.write_text("[]")
        with pytest.raises(CheckpointError, match=r"a\.jsonl holds no JSON object"):
            read_object(path, CheckpointError)


class TestPictures:
    @pytest.mark.parametrize("name", EXAMPLES)
    def test_every_format_is_read(self, name):
        image = decode_picture(EXAMPLES[name], "here")
        turned = name in ("png-alpha", "jpeg", "webp", "tiff-raw")
        assert (image.mode, image.size) == ("RGB", (16, 24) if turned else (24, 16))

    @pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
    def test_opaque_colors_are_kept(self, kind):
        assert decode_picture(encoded(noise(), kind), "here").tobytes() == noise().tobytes()

    @pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "GIF"])
    def test_alpha_is_composed_over_white(self, kind):
        image = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
        image.paste((0, 0, 255, 255), (4, 0, 8, 8))
        seen = decode_picture(encoded(image, kind, **({"lossless": True} if kind == "WEBP" else {})), "here")
        assert [seen.getpixel((x, 0)) for x in (0, 7)] == [(255, 255, 255), (0, 0, 255)]
        if kind != "GIF":
            half = encoded(Image.new("RGBA", (8, 8), (0, 0, 0, 128)), kind)
            assert decode_picture(half, "here").getpixel((0, 0)) == pytest.approx((127,) * 3, abs=1)

    @pytest.mark.parametrize(
        ("image", "options", "seen"),
        [
            (Image.new("L", (4, 4), 7), {"transparency": 7}, (255, 255, 255)),
            (Image.new("RGB", (4, 4), RED), {"transparency": RED}, (255, 255, 255)),
            (Image.new("LA", (4, 4), (7, 0)), {}, (255, 255, 255)),
            (Image.new("L", (4, 4), 7), {}, (7, 7, 7)),
            (Image.new("1", (4, 4), 1), {}, (255, 255, 255)),
            (Image.new("P", (4, 4), 0), {}, (0, 0, 0)),
        ],
    )
    def test_transparency_of_other_modes(self, image, options, seen):
        assert decode_picture(encoded(image, **options), "here").getpixel((0, 0)) == seen

    @pytest.mark.parametrize("kind", ["PNG", "TIFF"])
    def test_gray_of_16_bits_is_scaled(self, kind):
        values = np.array([[0, 257, 128 * 257, 65535]], np.uint16)
        seen = np.asarray(decode_picture(encoded(Image.fromarray(values), kind), "here"))
        assert seen[0, :, 0].tolist() == [0, 1, 128, 255]

    def test_pixels_of_32_bits_are_refused(self):
        for mode in ("I", "F"):
            with pytest.raises(InputError, match="here has pixels of 32 bits"):
                decode_picture(encoded(Image.new(mode, (4, 4)), "TIFF"), "here")

    def test_cmyk(self):
        seen = decode_picture(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG"), "here")
        assert seen.getpixel((4, 4)) == pytest.approx(RED, abs=6)

    def test_the_first_frame_of_an_animation(self):
        frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
        for kind in ("GIF", "WEBP", "PNG"):
            data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
            assert decode_picture(data, "here").getpixel((4, 4)) == pytest.approx(RED, abs=6)

    @pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
    def test_large_profiles_do_no_harm(self, kind):
        data = encoded(noise(), kind, icc_profile=b"\0" * 2_000_000)
        assert decode_picture(data, "here").size == (24, 16)

    def test_large_texts_do_no_harm(self):
        from PIL.PngImagePlugin import PngInfo

        texts = PngInfo()
        texts.add_text("prompt", "a" * 3_000_000, zip=True)
        texts.add_itxt("workflow", "b" * 3_000_000, zip=True)
        assert decode_picture(encoded(noise(), pnginfo=texts), "here").tobytes() == noise().tobytes()

    def test_damaged_exif_is_ignored(self):
        data = encoded(noise(), exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x01\x12\0\x03\xff" * 9)
        assert decode_picture(data, "here").size == (24, 16)

    def test_too_many_pixels(self, monkeypatch):
        with pytest.raises(InputError, match=r"here is not a readable picture: .*8193 by 8192 pixels"):
            decode_picture(encoded(Image.new("1", (8193, 8192))), "here")
        monkeypatch.setattr(outside, "MAX_PIXELS", 24 * 16)
        assert decode_picture(EXAMPLES["jpeg"], "here")

    @pytest.mark.parametrize("kind", ["PPM", "ICO", "EPS", "TGA"])
    def test_other_formats_are_refused(self, tmp_path, kind):
        (tmp_path / "a.png").write_bytes(encoded(noise(), kind))
        with pytest.raises(InputError, match=r"a\.png is not a readable picture: none of PNG, JPEG, WEBP"):
            read_picture(tmp_path / "a.png")
        assert kind not in FORMATS

    def test_one_format_alone(self):
        assert decode_pixels(EXAMPLES["png-alpha"], "here", formats=["PNG"]).mode == "RGBA"
        with pytest.raises(RecordError, match="here is not a readable PNG"):
            decode_pixels(EXAMPLES["jpeg"], "here", formats=["PNG"])

    @pytest.mark.parametrize("name", EXAMPLES)
    @settings(max_examples=60, deadline=None)
    @given(data=st.data())
    def test_mutated_files_raise_errors_of_ours(self, name, data):
        whole = bytearray(EXAMPLES[name])
        for _ in range(data.draw(st.integers(1, 4))):
            position = data.draw(st.integers(0, min(len(whole) - 1, data.draw(st.sampled_from([40, 10**6])))))
            whole[position] = data.draw(st.integers(0, 255))
        cut = data.draw(st.none() | st.integers(0, len(whole)))
        with suppress(InputError):
            assert decode_picture(bytes(whole[:cut]), "here").mode == "RGB"
