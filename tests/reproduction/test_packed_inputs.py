"""Data that runs share: packed once, and what a run would have loaded itself."""

from __future__ import annotations

import multiprocessing
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import associated_learning as al
from associated_learning.data import load
from associated_learning.runs.inputs import load_data, load_word_vectors
from associated_learning.runs.settings.config import RunConfig
from associated_learning.runs.settings.resolved import resolved
from reproduction.campaign import packed_inputs as packing
from reproduction.campaign.packed_inputs import pack, packed_inputs

ROWS = [("a good film", 1), ("a bad film", 0), ("good", 1), ("bad bad", 0)] * 10


@pytest.fixture
def texts(tmp_path: Path) -> RunConfig:
    lines = ["text,label", *(f"{text},{label}" for text, label in ROWS)]
    (tmp_path / "films.csv").write_text("\n".join(lines))
    (tmp_path / "vectors.txt").write_text("film 1 2\ngood 3 4\n")
    return resolved(
        RunConfig(
            data=str(tmp_path / "films.csv"), vectors=str(tmp_path / "vectors.txt"),
            text_column="text", model="bilstm", label_noise=0.5, seed=4, vector_shift=1,
        )
    )  # fmt: skip


def test_a_run_reads_what_it_would_have_loaded(texts: RunConfig, tmp_path: Path) -> None:
    data, known = packed_inputs(texts, tmp_path / "store")
    expected = load_data(texts)
    assert torch.equal(data.train.labels, expected.train.labels)
    assert data.preprocessing == expected.preprocessing
    found = load_word_vectors(texts, data, known)
    alone = load_word_vectors(texts, expected)
    assert found is not None
    assert alone is not None
    assert torch.equal(found.weights, alone.weights)
    assert found.coverage == alone.coverage


def test_what_is_packed_is_not_loaded_again(
    texts: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack(texts, tmp_path)

    def refused(*args: object) -> None:
        raise AssertionError(args)

    monkeypatch.setattr(packing, "load_data", refused)
    monkeypatch.setattr(packing, "find_known_vectors", refused)
    for change in ({"seed": 5}, {"label_noise": 0.0}, {"lr": 0.5}, {"vector_shift": 0}):
        packed_inputs(replace(texts, **change), tmp_path)  # type: ignore[arg-type]
    for change in ({"limit_train": 8}, {"max_length": 2}):
        with pytest.raises(AssertionError, match="ResolvedConfig"):
            packed_inputs(replace(texts, **change), tmp_path)  # type: ignore[arg-type]


def test_files_that_changed_are_packed_anew(tmp_path: Path) -> None:
    root = tmp_path / "sst2"
    root.mkdir()
    config = resolved(RunConfig(data="sst2", data_root=str(tmp_path), model="bilstm"))
    sizes = []
    for count in (40, 60):
        for split in ("train", "validation", "test"):
            _parquet(root / f"{split}.parquet", count)
        sizes.append(len(packed_inputs(config, tmp_path / "store").data.train))
    assert sizes == [40, 60]


def _parquet(path: Path, count: int) -> None:
    from pyarrow import parquet, table

    rows = {"sentence": [f"film {i}" for i in range(count)], "label": [i % 2 for i in range(count)]}
    parquet.write_table(table(rows), path)


def test_processes_that_want_the_same_pack_it_once(texts: RunConfig, tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    both = [context.Process(target=pack, args=(texts, tmp_path / "store")) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
        assert process.exitcode == 0
    names = sorted(path.suffix for path in (tmp_path / "store").iterdir())
    assert names == [".json"] * 2 + [".lock"] * 2 + [".safetensors"] * 2


def test_foreign_vectors_are_refused(texts: RunConfig, tmp_path: Path) -> None:
    pack(texts, tmp_path)
    for path in tmp_path.glob("*.safetensors"):
        if path.stem.count("-") > 1:
            path.write_bytes(b"no vectors")
    with pytest.raises(al.CheckpointError, match="has changed since it was saved"):
        packed_inputs(texts, tmp_path)
    for path in tmp_path.glob("*.json"):  # which older ones do not have
        path.unlink()
    with pytest.raises(al.CheckpointError, match="holds no word vectors"):
        packed_inputs(texts, tmp_path)


def test_data_without_files_are_packed_too(tmp_path: Path) -> None:
    data, known = packed_inputs(resolved(RunConfig(data="digits")), tmp_path)
    assert known is None
    assert torch.equal(data.test.labels, load("digits").test.labels)
