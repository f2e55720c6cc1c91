"""Packed data: what comes back is what went in, and small."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import associated_learning as al
from associated_learning.data import (
    DataSet,
    ImagePreprocessor,
    TablePreprocessor,
    TextPreprocessor,
    load,
    noisy_labels,
)
from associated_learning.data.dataset import SPLITS
from associated_learning.data.labels.target_numbers import TargetScale
from associated_learning.tensors.nested import tensors_in
from reproduction.campaign.packed import read_packed, write_packed

TEXTS = ["a good film", "bad", "a bad film again", "good"]
LABELS = torch.tensor([1, 0, 0, 1])


def texts() -> DataSet:
    return made("text", TextPreprocessor.fit(TEXTS, max_length=3), TEXTS)


def images() -> DataSet:
    pixels = torch.randint(256, (4, 3, 5, 6), dtype=torch.uint8)
    return made("image", ImagePreprocessor.fit(pixels), pixels)


def made(kind: str, preprocessor: object, inputs: object) -> DataSet:
    samples = preprocessor.samples(inputs, LABELS)  # type: ignore[attr-defined]
    order = torch.tensor([3, 1])
    return DataSet(
        name="made up", kind=kind, label_names=("no", "yes"), train=samples,  # type: ignore[arg-type]
        validation=samples.subset(order), test=samples, preprocessor=preprocessor,  # type: ignore[arg-type]
        train_pool=9,
    )  # fmt: skip


def amounts() -> DataSet:
    preprocessor = TablePreprocessor.fit([[1.0], [2.0], [3.0], [7.0]], columns=("x",))
    data = made("table", preprocessor, [[1.0], [2.0], [3.0], [7.0]])
    samples = data.train.relabelled(torch.tensor([-1.5, 0.25, 0.5, 0.75]))
    return replace(data, train=samples, label_names=(), target_scale=TargetScale(20.0, 3.0))


@pytest.mark.parametrize("make", [texts, images, amounts, lambda: load("digits")])
def test_packed_data_come_back(make: object, tmp_path: Path) -> None:
    data = make()  # type: ignore[operator]
    write_packed(tmp_path / "packed", data)
    again = read_packed(tmp_path / "packed")
    assert again.preprocessing == data.preprocessing
    for name in ("name", "kind", "label_names", "train_pool", "target_scale"):
        assert getattr(again, name) == getattr(data, name)
    for split in SPLITS:
        before, after = getattr(data, split), getattr(again, split)
        everything = torch.arange(len(before))
        torch.testing.assert_close(after.take(everything), before.take(everything), rtol=0, atol=0)
        assert torch.equal(after.labels, before.labels)


def test_tokens_take_16_bits_and_pixels_8(tmp_path: Path) -> None:
    for data, name, dtype in ((texts(), "tokens", torch.uint16), (images(), "pixels", torch.uint8)):
        write_packed(tmp_path / name, data)
        stored = load_file(tmp_path / name)
        assert stored[f"train.{name}"].dtype == dtype
        assert stored["test.labels"].dtype == torch.uint16


def test_tokens_that_need_more_bits_keep_them(tmp_path: Path) -> None:
    words = [f"w{i}" for i in range(70_000)]
    preprocessor = TextPreprocessor.fit([" ".join(words)], vocabulary_size=70_000)
    data = made("text", preprocessor, [words[0], words[-1], *words[65_530:65_532]])
    write_packed(tmp_path / "packed", data)
    again = read_packed(tmp_path / "packed")
    assert again.train.tokens.tolist() == data.train.tokens.tolist()  # type: ignore[attr-defined]
    assert int(data.train.tokens.max()) > 65_535  # type: ignore[attr-defined]


def test_noise_is_that_of_loading() -> None:
    clean, noisy = load("digits", seed=3), load("digits", seed=3, label_noise=0.4)
    again = clean.with_label_noise(0.4, seed=3)
    assert torch.equal(again.train.labels, noisy.train.labels)
    assert not torch.equal(again.train.labels, clean.train.labels)
    for split in ("validation", "test"):
        assert torch.equal(getattr(again, split).labels, getattr(clean, split).labels)
    changed = int((noisy.train.labels != clean.train.labels).sum())
    assert changed <= round(0.4 * len(clean.train))
    same = noisy_labels(clean.train.labels, num_classes=10, rate=0.0)
    assert torch.equal(same, clean.train.labels)


@pytest.mark.parametrize("damage", ["missing", "truncated", "foreign"])
def test_what_is_no_packed_data_set_is_refused(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "packed"
    if damage == "truncated":
        write_packed(path, images())
        path.write_bytes(path.read_bytes()[:-40])
    if damage == "foreign":
        save_file({"x": torch.ones(2)}, path, metadata={"data": "{}"})
    with pytest.raises(al.CheckpointError, match="no data set that was packed by this version"):
        read_packed(path)


@pytest.mark.gpu
def test_batches_from_a_gpu_are_those_from_the_cpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    some = torch.tensor([2, 0, 3])
    for data in (texts(), images(), load("digits")):
        expected, found = data.train.take(some), data.to("cuda").train.take(some)
        for one, other in zip(tensors_in(expected), tensors_in(found), strict=True):
            torch.testing.assert_close(other.cpu(), one)
