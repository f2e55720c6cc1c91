"""Folders of images and masks: what pixels mean, which files belong together, what is refused."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from associated_learning.data import MaskPreprocessor, preprocessor_from_dict
from associated_learning.data.images.mask_format import mask_keys
from associated_learning.data.reading.mask_folder import has_masks, read_masked
from associated_learning.errors import InputError

NUMBERS = np.array([[0, 1, 2, 2], [1, 1, 0, 2]], np.uint8)  # class numbers of every mask here
COLOURS = np.array([[0, 0, 0], [255, 0, 16], [1, 2, 3]], np.uint8)


def written(folder: Path, mask: Image.Image, count: int = 2, ending: str = "png") -> Path:
    """Write grey images of the size of a mask, and that mask for each."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for i in range(count):
        Image.new("L", mask.size, 40 * i).save(folder / "images" / f"{i}.{ending}")
        mask.save(folder / "masks" / f"{i}.png")
    return folder


def grey(values: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(values)


def palette() -> Image.Image:
    image = Image.fromarray(NUMBERS)
    image.putpalette([9, 9, 9, 200, 0, 0, 0, 200, 0])
    return image


def pairs(folder: Path) -> MaskPreprocessor:
    raw, masks = read_masked(folder)
    return MaskPreprocessor.fit(raw.splits["train"].inputs, masks, size=None)


FORMS: dict[str, tuple[Callable[[], Image.Image], dict[str, str], tuple[str, ...]]] = {
    "values": (lambda: grey(NUMBERS), {}, ("0", "1", "2")),
    "gaps": (lambda: grey(NUMBERS * 60), {}, ("0", "60", "120")),
    "palette": (
        palette, {"classes.txt": "ground\nhat\n\n# none\ncoat"}, ("ground", "hat", "coat")
    ),
    "named values": (
        lambda: grey(np.array([9, 0, 255], np.uint8)[NUMBERS]),
        {"classes.json": '{"ground": 9, "hat": 0, "long coat": 255}'},
        ("ground", "hat", "long coat"),
    ),
    "colours": (
        lambda: Image.fromarray(COLOURS[NUMBERS]),
        {"classes.txt": "ground 0 0 0\nhat 255 0 16\nlong coat, 1, 2, 3\n"},
        ("ground", "hat", "long coat"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_masks_are_read_as_numbers_and_written_as_they_were(form: str, tmp_path: Path) -> None:
    make, files, names = FORMS[form]
    written(tmp_path, make())
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    raw, masks = read_masked(tmp_path)
    assert raw.label_names == masks.names == names
    preprocessor = pairs(tmp_path)
    again = preprocessor_from_dict(json.loads(json.dumps(preprocessor.to_dict())))
    assert again == preprocessor
    samples = preprocessor.samples(raw.splits["train"].inputs, torch.zeros(2))
    assert samples.targets(torch.tensor([1]))[0].tolist() == NUMBERS.tolist()
    image = preprocessor.mask(torch.from_numpy(NUMBERS), NUMBERS.shape)
    image.save(tmp_path / "again.png")
    with Image.open(tmp_path / "again.png") as found, make() as expected:
        assert (found.mode, found.size) == (expected.mode, expected.size)
        np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))
        assert (found.getpalette() or [])[:9] == (expected.getpalette() or [])[:9]


def test_masks_of_bits(tmp_path: Path) -> None:
    bits = NUMBERS > 0
    preprocessor = pairs(written(tmp_path, Image.fromarray(bits)))
    image = preprocessor.mask(torch.from_numpy(bits.astype(np.uint8)), bits.shape)
    assert image.mode == "1"
    np.testing.assert_array_equal(np.asarray(image), bits)


@pytest.mark.parametrize(("bits", "rows"), [(2, [[0, 3, 1, 2]]), (4, [[0, 15, 1, 9]])])
def test_greys_of_few_bits_are_read_as_they_are_written(
    bits: int, rows: list[list[int]], tmp_path: Path
) -> None:
    """Pillow spreads them over 256 greys, so that the last one would be 255."""
    packed = b"".join(
        b"\0" + int("".join(f"{v:0{bits}b}" for v in row), 2).to_bytes(len(row) * bits // 8, "big")
        for row in rows
    )
    head = struct.pack(">IIBBBBB", len(rows[0]), len(rows), bits, 0, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(packed)), (b"IEND", b""))
    content = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
    (tmp_path / "mask.png").write_bytes(content)
    assert mask_keys(tmp_path / "mask.png", coloured=False).tolist() == rows


@pytest.mark.parametrize(
    ("mask", "classes", "ignored"),
    [
        (grey(np.array([[0, 1, 255]], np.uint8)), None, 2),
        (grey(np.array([[7, 1, 2]], np.uint8)), "a 1\nb 2\nignore 7", 0),
        (grey(np.array([[0, 255, 1]], np.uint8)), "a\nb", 1),
        (Image.fromarray(COLOURS[None]), "a 0 0 0\nb 1 2 3\nignore 255 0 16", 1),
    ],
)
def test_pixels_that_do_not_count(
    mask: Image.Image, classes: str | None, ignored: int, tmp_path: Path
) -> None:
    written(tmp_path, mask)
    if classes is not None:
        (tmp_path / "classes.txt").write_text(classes)
    raw, _ = read_masked(tmp_path)
    samples = pairs(tmp_path).samples(raw.splits["train"].inputs, torch.zeros(2))
    y = samples.targets(torch.arange(2))
    assert (y[0, 0] == -100).tolist() == [i == ignored for i in range(3)]
    assert samples.subset(torch.tensor([1])).class_counts(2).tolist() == [1, 1]


def test_images_of_other_sizes_are_resized_with_their_masks_to_the_nearest_pixel(
    tmp_path: Path,
) -> None:
    values = np.random.default_rng(0).integers(0, 3, (6, 10)).astype(np.uint8)
    raw, masks = read_masked(written(tmp_path, grey(values)))
    found = raw.splits["train"].inputs
    preprocessor = MaskPreprocessor.fit(found, masks, size=(3, 5))
    y = preprocessor.samples(found, torch.zeros(2)).targets(torch.arange(2))
    np.testing.assert_array_equal(y[0], values[1::2, 1::2])  # centres of two by two: the later one
    back = np.asarray(preprocessor.mask(y[0], (6, 10)))
    np.testing.assert_array_equal(back, values[1::2, 1::2].repeat(2, 0).repeat(2, 1))


def test_splits_are_folders(tmp_path: Path) -> None:
    for i, name in enumerate(("train", "val", "test"), start=1):
        written(tmp_path / name, grey(NUMBERS), count=i, ending="jpg")
    (tmp_path / "train" / "images" / ".hidden").touch()
    raw, _ = read_masked(tmp_path)
    assert {key: len(split.labels) for key, split in raw.splits.items()} == {
        "train": 1, "validation": 2, "test": 3
    }  # fmt: skip
    assert has_masks(tmp_path)
    assert not has_masks(tmp_path / "train" / "images")


def test_folders_that_are_no_split_or_two_are_refused(tmp_path: Path) -> None:
    written(tmp_path, grey(NUMBERS))
    test = written(tmp_path / "test", grey(NUMBERS))
    assert set(read_masked(tmp_path)[0].splits) == {"train", "test"}
    with pytest.raises(InputError, match=r"test and .*test came for the test split"):
        read_masked(tmp_path, test_data=test)
    written(tmp_path / "dev", grey(NUMBERS))
    with pytest.raises(InputError, match="dev holds images and masks, but is no split: expected"):
        read_masked(tmp_path)
    (tmp_path / "dev").rename(tmp_path / "train")
    with pytest.raises(InputError, match="train came for the train split: expected one of them"):
        read_masked(tmp_path)


def _without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def _saved(name: str, image: Image.Image) -> Callable[[Path], None]:
    return lambda folder: image.save(folder / name)


def _text(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(text)


HALF = grey(NUMBERS[:1])
REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "no mask": (_without("masks/1.png"), r"1 without a mask, such as .*images/1.png: expected"),
    "no image": (_without("images/0.png"), r"1 without an image, such as .*masks/0.png"),
    "size": (_saved("masks/1.png", HALF), r"1.png has 1 x 4 pixels; expected 2 x 4, as its image"),
    "value": (
        lambda folder: _text("classes.txt", "a\nb")(folder),
        r"the value 2 in row 0, column 2; expected one of 0 \(a\), 1 \(b\); 255 does not count",
    ),
    "colour": (
        lambda folder: (
            _text("classes.txt", "a 0 0 0\nb 1 1 1")(folder),
            _saved("masks/1.png", Image.new("RGB", (4, 2), (1, 1, 2)))(folder),
        ),
        r"colour \(2, 2, 2\) in row 0, column 2; expected one of \(0, 0, 0\) \(a\)",
    ),
    "colours unnamed": (
        _saved("masks/0.png", Image.new("RGB", (4, 2))),
        r"is of mode RGB; expected L .* or a classes.txt .* NAME RED GREEN BLUE",
    ),
    "sixteen bits": (
        _saved("masks/0.png", Image.fromarray(NUMBERS.astype(np.uint16))),
        "of mode I;16; expected L",
    ),
    "jpeg": (
        lambda folder: (folder / "masks/0.png").rename(folder / "masks/0.jpg"),
        "0.jpg is no PNG, and other formats may change values",
    ),
    "no png": (_text("masks/1.png", "text"), "is not an image"),
    "torn": (
        lambda folder: (folder / "masks/1.png").write_bytes(
            (folder / "masks/1.png").read_bytes()[:45]
        ),
        "cannot read the mask .*1.png",
    ),
    "twice": (_saved("images/1.bmp", HALF), "have the same name but for their endings"),
    "folder": (lambda folder: (folder / "images" / "more").mkdir(), "is a folder: expected files"),
    "two lists": (
        lambda f: (_text("classes.txt", "a\nb")(f), _text("classes.json", "[]")(f)),
        "holds classes.txt and classes.json",
    ),
    "mixed list": (_text("classes.txt", "a 1\nb"), r"cannot read the classes .* \(at 'a'\)"),
    "large value": (_text("classes.txt", "a 1\nb 256"), r"\(at 'b'\): expected for each class"),
    "one class": (_text("classes.txt", "a\nignore"), "expected two or more"),
    "value twice": (_text("classes.txt", "a 1\nb 1"), "a class, a value or a colour twice"),
    "no json": (_text("classes.json", "{"), "cannot read the classes in .*classes.json"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_says_why(case: str, tmp_path: Path) -> None:
    spoil, message = REFUSED[case]
    spoil(written(tmp_path, grey(NUMBERS)))
    with pytest.raises(InputError, match=message):
        pairs(tmp_path).samples(read_masked(tmp_path)[0].splits["train"].inputs, torch.zeros(2))


def test_a_255_that_may_be_a_class_is_asked_for(tmp_path: Path) -> None:
    written(tmp_path, grey((NUMBERS > 0).astype(np.uint8) * 255))
    with pytest.raises(InputError, match="hold 0 and 255 alone, and 255 does not count"):
        read_masked(tmp_path)
    (tmp_path / "classes.txt").write_text("ground 0\nobject 255\n")
    assert read_masked(tmp_path)[1].ignored is None
    with pytest.raises(InputError, match=r"holds 0.png, 1.png: expected a folder with"):
        read_masked(tmp_path / "images")
