"""Samples that travel without the rest of their set: runs draw the same from both."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch

import associated_learning as al
from associated_learning.data import load
from associated_learning.data.reading.encoded import encoded_file
from associated_learning.runs.settings.config import RunConfig
from associated_learning.runs.settings.resolved import resolved
from reproduction.campaign.portable import write_portable
from reproduction.paper.data_paths import DataPaths

SIZES = {"train": 60, "test": 20}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with small sets of the names and columns of Fashion-MNIST, SST-2, DBpedia."""
    from PIL import Image
    from pyarrow import parquet, table

    root = tmp_path_factory.mktemp("whole")
    (root / "fashion_mnist").mkdir()
    rng = torch.Generator().manual_seed(0)
    for split, count in SIZES.items():
        pixels = torch.randint(0, 256, (count, 4, 4), generator=rng, dtype=torch.uint8).numpy()
        images = []
        for one in pixels:
            Image.fromarray(one).save(file := io.BytesIO(), "PNG")
            images.append({"bytes": file.getvalue(), "path": None})
        labels = [i % 3 for i in range(count)]
        rows = table({"image": images, "label": labels})
        parquet.write_table(rows, root / "fashion_mnist" / f"{split}.parquet")
    for split, count in {**SIZES, "validation": 10}.items():
        texts = [f"ein Wort über {split} Nr. {i}" if i else "" for i in range(count)]
        labels = [i % 3 for i in range(count)]
        for name, columns in (("sst2", ["sentence"]), ("dbpedia_14", ["title", "content"])):
            if (name, split) != ("dbpedia_14", "validation"):
                (root / name).mkdir(exist_ok=True)
                rows = table({**dict.fromkeys(columns, texts), "label": labels})
                parquet.write_table(rows, root / name / f"{split}.parquet")
    (root / "glove").mkdir()
    (root / "glove" / "tiny.2d.txt").write_text("wort 0.5 1\nüber 1 2\n")
    return root


def settings(root: Path, data_seed: int, data: str = "fashion_mnist") -> RunConfig:
    texts = data != "fashion_mnist"
    return RunConfig(
        data=data, model="bilstm" if texts else "cnn", data_root=str(root), limit_train=9,
        validation_fraction=0.1, data_seed=data_seed,
        vectors=str(root / "glove" / "tiny.2d.txt") if texts else None,
    )  # fmt: skip


def loaded(root: Path, data_seed: int, data: str = "fashion_mnist") -> al.data.DataSet:
    return load(data, data_root=root, limit_train=9, validation_fraction=0.1, seed=data_seed)


@pytest.mark.parametrize("data", ["fashion_mnist", "sst2", "dbpedia_14"])
def test_what_runs_draw_is_the_same_and_told_the_same(
    whole: Path, tmp_path: Path, data: str
) -> None:
    written = write_portable([resolved(settings(whole, s, data)) for s in (0, 1)], tmp_path)
    tensors = ("pixels",) if data == "fashion_mnist" else ("tokens", "offsets")
    for seed in (0, 1):
        found, expected = loaded(tmp_path, seed, data), loaded(whole, seed, data)
        assert found.train_pool == expected.train_pool == SIZES["train"]
        assert found.preprocessing == expected.preprocessing
        for split in ("train", "validation", "test"):
            one, other = getattr(found, split), getattr(expected, split)
            for name in (*tensors, "labels"):
                assert torch.equal(getattr(one, name), getattr(other, name))
    here, there = (DataPaths(data_root=str(root)).sizes(data) for root in (whole, tmp_path))
    assert here == there
    assert there.train == SIZES["train"]
    copied = [path.relative_to(tmp_path) for path in written if path.suffix == ".txt"]
    assert copied == ([] if data == "fashion_mnist" else [Path("glove/tiny.2d.txt")])
    assert all((tmp_path / one).read_bytes() == (whole / one).read_bytes() for one in copied)


def test_samples_that_were_left_behind_are_refused(whole: Path, tmp_path: Path) -> None:
    (path,) = write_portable([resolved(settings(whole, 0))], tmp_path)
    with pytest.raises(al.InputError, match="lacks the image of row"):
        loaded(tmp_path, 5)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(al.CheckpointError, match="holds no samples"):
        loaded(tmp_path, 0)
    write_portable([resolved(settings(whole, 0, "sst2"))], tmp_path)
    with pytest.raises(al.InputError, match="lacks the text of row"):
        loaded(tmp_path, 5, "sst2")
    with pytest.raises(al.InputError, match="digits came to be exported; expected fashion_mnist"):
        write_portable([resolved(RunConfig(data="digits", model="mlp"))], tmp_path)
    assert encoded_file(tmp_path, "fashion_mnist") == path
