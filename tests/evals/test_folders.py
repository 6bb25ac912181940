"""GenEval's folder layout, read and written."""

import json

import pytest
from PIL import Image

from strokewise.errors import InputError, RecordError
from strokewise.evals.image_folders import read_pictures, write_metadata, write_picture
from strokewise.io.outside import read_picture
from strokewise.world.language import geneval_metadata, geneval_prompts

METADATA = [geneval_metadata(prompt) for prompt in geneval_prompts()[:3]]
PICTURE = Image.new("RGB", (40, 30), "red")


@pytest.fixture
def folder(tmp_path):
    for number, metadata in enumerate(METADATA):
        write_metadata(tmp_path, number, metadata)
        for sample in range(2):
            write_picture(tmp_path, number, sample, PICTURE)
    return tmp_path


def test_what_is_written_is_in_the_official_places_and_read_in_order(folder):
    assert json.loads((folder / "00001" / "metadata.jsonl").read_text()) == METADATA[1]
    samples = read_pictures(folder)
    names = [f"0000{number}/samples/000{sample}.png" for number in range(3) for sample in range(2)]
    assert [sample.path.relative_to(folder).as_posix() for sample in samples] == names
    assert [sample.metadata for sample in samples] == [metadata for metadata in METADATA for _ in range(2)]
    assert read_picture(samples[0].path).tobytes() == PICTURE.tobytes()


def test_what_has_no_number_is_not_looked_at(folder):
    (folder / "grid").mkdir()
    (folder / "00003.txt").touch()
    (folder / "00000" / "samples" / "grid.png").touch()
    (folder / "00000" / "samples" / ".0002.png").touch()
    (folder / "00000" / "samples" / "0002.png.part").touch()
    assert len(read_pictures(folder)) == 6


def test_numbers_are_numbers(folder):
    for sample in (2, 10, 9):
        PICTURE.save(folder / "00000" / "samples" / f"{sample}.png")
    names = [sample.path.stem for sample in read_pictures(folder)[:5]]
    assert names == ["0000", "0001", "2", "9", "10"]


def test_a_picture_is_turned_upright_and_loses_its_alpha(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    for alpha, seen in ((255, (255, 0, 0)), (0, (255, 255, 255))):
        Image.new("RGBA", (40, 30), (255, 0, 0, alpha)).save(tmp_path / "a.png", exif=exif)
        picture = read_picture(tmp_path / "a.png")
        assert (picture.size, picture.mode, picture.getpixel((0, 0))) == ((30, 40), "RGB", seen)


def test_faults_name_the_file(folder, tmp_path_factory):
    with pytest.raises(InputError, match="no folder"):
        read_pictures(folder / "none")
    with pytest.raises(InputError, match="holds no picture"):
        read_pictures(tmp_path_factory.mktemp("empty"))
    picture = folder / "00000" / "samples" / "0000.png"
    picture.write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"0000\.png"):
        read_picture(picture)
    (folder / "00001" / "metadata.jsonl").write_text('{"tag": "colors", "include": []}')
    with pytest.raises(RecordError, match=r"00001.metadata\.jsonl: prompt: is missing"):
        read_pictures(folder)
    (folder / "00001" / "metadata.jsonl").unlink()
    with pytest.raises(RecordError, match=r"00001.metadata\.jsonl"):
        read_pictures(folder)


def test_a_prompt_without_a_folder_of_samples_is_a_fault(folder):
    write_metadata(folder, 3, METADATA[0])
    with pytest.raises(RecordError, match="samples is missing"):
        read_pictures(folder)


def test_other_metadata_are_not_written(tmp_path):
    with pytest.raises(RecordError):
        write_metadata(tmp_path, 0, {"prompt": "a photo of a bench"})
    assert not list(tmp_path.iterdir())
