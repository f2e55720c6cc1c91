"""Images that travel without the rest of their set: runs draw the same from both."""

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
    """A data root with a small set of the name and columns of Fashion-MNIST."""
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
    return root


def settings(root: Path, data_seed: int, limit: int = 9) -> RunConfig:
    return RunConfig(
        data="fashion_mnist", model="cnn", data_root=str(root), limit_train=limit,
        validation_fraction=0.1, data_seed=data_seed,
    )  # fmt: skip


def loaded(root: Path, data_seed: int, limit: int = 9) -> al.data.DataSet:
    return load(
        "fashion_mnist", data_root=root, limit_train=limit, validation_fraction=0.1, seed=data_seed
    )


def test_what_runs_draw_is_the_same_and_told_the_same(whole: Path, tmp_path: Path) -> None:
    configs = [resolved(settings(whole, seed)) for seed in (0, 1)]
    write_portable(configs, tmp_path)
    for seed in (0, 1):
        found, expected = loaded(tmp_path, seed), loaded(whole, seed)
        assert found.train_pool == expected.train_pool == SIZES["train"]
        assert found.preprocessing == expected.preprocessing
        for split in ("train", "validation", "test"):
            one, other = getattr(found, split), getattr(expected, split)
            assert torch.equal(one.pixels, other.pixels)
            assert torch.equal(one.labels, other.labels)
    assert DataPaths(data_root=str(tmp_path)).sizes("fashion_mnist").train == SIZES["train"]


def test_samples_that_were_left_behind_are_refused(whole: Path, tmp_path: Path) -> None:
    (path,) = write_portable([resolved(settings(whole, 0))], tmp_path)
    with pytest.raises(al.InputError, match="lacks the image of row"):
        loaded(tmp_path, 5)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(al.CheckpointError, match="holds no images"):
        loaded(tmp_path, 0)
    texts = resolved(RunConfig(data="sst2", model="bilstm", data_root=str(whole)))
    with pytest.raises(al.InputError, match="sst2 came to be exported; expected images"):
        write_portable([texts], tmp_path)
    assert encoded_file(tmp_path, "fashion_mnist") == path
