from __future__ import annotations

import io
import itertools
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from associated_learning.data import (
    ImageFormat,
    ImagePreprocessor,
    ImageSamples,
    load,
    preprocessor_from_dict,
)
from associated_learning.data.images.images import decode, default_size, image_size
from associated_learning.errors import InputError
from associated_learning.runs.deployment.runner import image as runner


def picture(seed: int, mode: str = "RGB", size: tuple[int, int] = (6, 5)) -> Image.Image:
    channels = () if mode == "L" else (3,)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], *channels))
    return Image.fromarray(pixels.astype(np.uint8))


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def write_folder(root: Path, classes: dict[str, int]) -> Path:
    numbers = itertools.count()
    for name, count in classes.items():
        (root / name).mkdir(parents=True)
        for i in range(count):
            picture(next(numbers)).save(root / name / f"{i}.png")
    return root


def test_files_bytes_and_images_give_the_same_normalised_pixels(tmp_path: Path) -> None:
    images = [picture(i) for i in range(3)]
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for image, path in zip(images, paths, strict=True):
        image.save(path)
    preprocessor = ImagePreprocessor.fit(images)
    stacked = np.stack([np.asarray(image) for image in images]) / 255
    mean, std = stacked.mean((0, 1, 2)), stacked.std((0, 1, 2))
    expected = torch.tensor(((stacked - mean) / std).transpose(0, 3, 1, 2), dtype=torch.float32)
    for inputs in (images, [png(image) for image in images], paths, [str(p) for p in paths]):
        torch.testing.assert_close(preprocessor(inputs), expected, atol=1e-5, rtol=1e-5)


def test_grey_stays_one_channel_unless_a_colour_image_is_among_them() -> None:
    grey, colour = picture(0, "L"), picture(1)
    assert ImageFormat.of([grey, grey]) == (1, 5, 6)
    assert ImageFormat.of([grey, colour]) == (3, 5, 6)
    assert ImagePreprocessor.fit([grey, grey])([colour]).shape == (1, 1, 5, 6)


def test_images_are_resized_at_prediction_and_where_a_size_is_given() -> None:
    preprocessor = ImagePreprocessor.fit([picture(0), picture(1)])
    with pytest.warns(UserWarning, match="image 0 has 9 x 9 pixels and is resized to 5 x 6"):
        assert preprocessor([picture(2, size=(9, 9))]).shape == (1, 3, 5, 6)
    mixed = [picture(0), picture(1, size=(3, 3))]
    with pytest.raises(InputError, match=r"2 different sizes \(3x3, 5x6"):
        ImagePreprocessor.fit(mixed)
    assert ImagePreprocessor.fit(mixed, size=(4, 8)).format == (3, 4, 8)


def test_a_preprocessor_survives_json() -> None:
    import json

    preprocessor = ImagePreprocessor.fit([picture(0), picture(1)])
    values = json.loads(json.dumps(preprocessor.to_dict()))
    assert preprocessor_from_dict(values) == preprocessor


@pytest.mark.parametrize("images", [[], "photo.png", b"bytes"])
def test_a_list_of_images_is_asked_for(images: object) -> None:
    with pytest.raises(InputError, match="expected a list of one or more images"):
        ImagePreprocessor.fit([picture(0), picture(1)])(images)


def test_what_is_no_image_is_named(tmp_path: Path) -> None:
    preprocessor = ImagePreprocessor.fit([picture(0), picture(1)])
    notes = tmp_path / "notes.png"
    notes.write_text("no image")
    with pytest.raises(InputError, match=r"the image file .*notes\.png is not an image"):
        preprocessor([notes])
    with pytest.raises(InputError, match="image 1 is not an image"):
        preprocessor([picture(0), b"no image"])
    with pytest.raises(InputError, match=r"cannot read the image file .*absent\.png"):
        preprocessor([tmp_path / "absent.png"])
    cut_off = png(picture(0, size=(64, 64)))[:2000]
    with pytest.raises(InputError, match="cannot read image 0"):
        preprocessor([cut_off])
    with pytest.raises(InputError, match="cannot read image 0"):
        preprocessor([7])


def test_a_folder_per_class(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "pets", {"cat": 10, "dog": 20})
    data = load(folder, cache_dir=tmp_path / "cache", validation_fraction=0.25)
    assert (data.kind, data.label_names) == ("image", ("cat", "dog"))
    counts = [s.labels.bincount().tolist() for s in (data.train, data.validation, data.test)]
    assert counts == [[6, 12], [2, 4], [2, 4]]
    assert isinstance(data.train, ImageSamples)
    files = {
        np.asarray(Image.open(path)).tobytes(): data.label_names.index(path.parent.name)
        for path in folder.rglob("*.png")
    }
    for split in (data.train, data.validation, data.test):
        for pixels, label in zip(split.pixels, split.labels.tolist(), strict=True):
            assert files.pop(pixels.permute(1, 2, 0).contiguous().numpy().tobytes()) == label
    assert not files


def test_a_test_folder_may_lack_a_class(tmp_path: Path) -> None:
    train = write_folder(tmp_path / "train", {"cat": 6, "dog": 6})
    test = write_folder(tmp_path / "new", {"dog": 3})
    data = load(train, test_data=test, cache_dir=tmp_path / "cache")
    assert data.test.labels.tolist() == [1, 1, 1]


def test_a_folder_with_splits(tmp_path: Path) -> None:
    write_folder(tmp_path / "pets" / "train", {"cat": 6, "dog": 6})
    write_folder(tmp_path / "pets" / "test", {"cat": 1, "dog": 2})
    data = load(tmp_path / "pets", cache_dir=tmp_path / "cache")
    assert data.test.labels.tolist() == [0, 1, 1]
    assert len(data.train) + len(data.validation) == 12


def test_bad_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no images: expected FOLDER/CLASS/IMAGE"):
        load(tmp_path / "empty", cache_dir=tmp_path / "cache")
    (tmp_path / "empty" / "good").mkdir()
    (tmp_path / "empty" / "good" / "1.txt").write_text("a fine film")
    with pytest.raises(InputError, match=r"holds texts, such as 1\.txt: write them into one CSV"):
        load(tmp_path / "empty", cache_dir=tmp_path / "cache")
    with pytest.raises(InputError, match="all training labels are 'cat'"):
        load(write_folder(tmp_path / "one", {"cat": 4}), cache_dir=tmp_path / "cache")
    broken = write_folder(tmp_path / "broken", {"cat": 4, "dog": 4})
    (broken / "cat" / "0.png").write_text("no image")
    with pytest.raises(InputError, match=r"cat.0\.png is not an image"):
        load(broken, cache_dir=tmp_path / "cache")


def grey_ramp(mode: str) -> Image.Image:
    """A ramp over the whole range of 16 bits: 256 steps of 257."""
    values = (np.arange(256) * 257).astype(np.uint16).reshape(16, 16)
    return Image.fromarray(values if mode == "I;16" else values.astype(mode))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_by_their_range(kind: str) -> None:
    stream = io.BytesIO()
    grey_ramp("I;16").save(stream, kind)
    pixels = decode([stream.getvalue()], ImageFormat(1, 16, 16))
    assert pixels.flatten().tolist() == list(range(256))


@pytest.mark.parametrize("mode", ["int32", "float32"])
def test_greys_of_unknown_range_are_refused(mode: str) -> None:
    stream = io.BytesIO()
    grey_ramp(mode).save(stream, "TIFF")
    with pytest.raises(InputError, match=r"image 0 holds .* what is black and what is white"):
        decode([stream.getvalue()], ImageFormat(1, 16, 16))


def test_a_test_image_of_another_size_is_refused_unless_a_size_was_given(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "pets", {"cat": 6, "dog": 6})
    other = write_folder(tmp_path / "new", {"dog": 2})
    picture(1, size=(9, 9)).save(other / "dog" / "0.png")
    options = {"test_data": other, "cache_dir": tmp_path / "cache"}
    with pytest.raises(InputError, match=r"dog.0.png has 9 x 9 pixels, those of the training"):
        load(folder, **options)
    assert load(folder, image_size=(5, 6), **options).test.pixels.shape[2:] == (5, 6)


def drawn_png(side: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """Return a PNG that tells its side, with chunks of other kinds."""
    head = (b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    body = (b"IDAT", zlib.compress(bytes(9 * 8)))
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in (head, *chunks, body, (b"IEND", b""))
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"DDS " + bytes(124), id="dds"),
        pytest.param(b"\x89PNG\r\n\x1a\n" + bytes(40), id="no png"),
        pytest.param(drawn_png(100_000), id="100,000 pixels a side"),
        pytest.param(
            drawn_png(8, (b"zTXt", b"k\0\0" + zlib.compress(bytes(2**21)))), id="packed text"
        ),
        pytest.param(drawn_png(8, *[(b"tEXt", b"k\0" + bytes(2**20))] * 65), id="much text"),
    ],
)
def test_damaged_and_boundless_images_are_our_error(content: bytes) -> None:
    with pytest.raises(InputError, match="image 0"):
        decode([content], ImageFormat(1, 8, 8))


def test_names_of_files_and_classes_are_no_splits(tmp_path: Path) -> None:
    """Whole names of folders alone tell a split; whatever lies below a class is of that class."""
    folder = write_folder(tmp_path / "in" / "pets", {"train station": 6, "test": 6, "bus/old": 3})
    write_folder(folder, {"bus/new/test": 4, ".hidden": 2})
    (folder / "bus" / "new" / "test" / "0.png").rename(folder / "bus" / "test_0.PNG")
    (folder / "bus" / "Thumbs.db").write_bytes(b"no image")
    data = load(tmp_path / "in", cache_dir=tmp_path / "cache")
    counts = torch.cat([s.labels for s in (data.train, data.validation, data.test)]).bincount()
    assert dict(zip(data.label_names, counts.tolist(), strict=True)) == {
        "bus": 7,
        "test": 6,
        "train station": 6,
    }


def test_folders_of_several_sizes_get_one(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "pets", {"cat": 6, "dog": 6})  # 6 x 5 pixels
    for i, size in enumerate(((9, 9), (4, 9), (200, 100), (3, 3), (7, 90), (9, 9), (9, 8))):
        picture(i, size=size).save(folder / "dog" / f"{i}.png")
    shorter = sorted([5] * 6 + [9, 4, 100, 3, 7, 9, 8])
    with pytest.warns(UserWarning, match=r"6 different sizes .* are resized to 5x5"):
        data = load(folder, cache_dir=tmp_path / "cache")
    assert data.train.pixels.shape[2:] == (shorter[6], shorter[6])
    with pytest.warns(UserWarning, match="resized to 64x64"):
        assert default_size([picture(0, size=(900, 800)), picture(1, size=(400, 300))]) == (64, 64)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_photographs_stand_as_they_are_shown(orientation: int, kind: str, tmp_path: Path) -> None:
    """By training and by the runner of an export: cameras note on which side a picture lies."""
    photo, exif, path = picture(0, size=(48, 32)), Image.Exif(), tmp_path / "photo"
    exif[0x0112] = orientation
    photo.save(path, kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    with Image.open(path) as opened:
        shown = np.asarray(ImageOps.exif_transpose(opened))
    height, width = shown.shape[:2]
    if kind != "PNG":  # whose header does not tell
        assert image_size(path) == (height, width)
    expected = torch.from_numpy(shown.transpose(2, 0, 1).copy())
    assert torch.equal(decode([path], ImageFormat(3, height, width), resize=False)[0], expected)
    how = {"channels": 3, "size": [height, width], "mean": [0.0], "std": [1 / 255]}
    assert np.array_equal(runner.prepare([path], how)[0]["x"][0].round(), expected.numpy())


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ({"train/cat": 2, "train/dog": 2, "more": 2}, "more, train, which are not all splits"),
        ({"cat": 2, "dog": 2, "test/cat": 2}, "cat, dog, test, which are not all splits"),
        ({"train/cat": 2, "val/cat": 2, "dev/cat": 2}, "dev, train, val, which are not all"),
        ({"cat": 2, ".": 1}, r"1 images lie in .*, such as 0\.png, in no folder of a class"),
    ],
)
def test_folders_that_could_be_read_in_two_ways_are_refused(
    classes: dict[str, int], message: str, tmp_path: Path
) -> None:
    for name, count in classes.items():
        (tmp_path / "pets" / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            picture(i).save(tmp_path / "pets" / name / f"{i}.png")
    with pytest.raises(InputError, match=message):
        load(tmp_path / "pets", cache_dir=tmp_path / "cache")
