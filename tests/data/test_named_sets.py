from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from associated_learning.data import ImageSamples, load
from associated_learning.errors import InputError


def write_set(root: Path, name: str, label_names: list[str], **splits: dict[str, Any]) -> None:
    """Write splits in the hub's layout, class names in the schema."""
    (root / name).mkdir(exist_ok=True)
    for split, columns in splits.items():
        made = datasets.Dataset.from_dict(columns)
        made = made.cast_column("label", datasets.ClassLabel(names=label_names))
        made.to_parquet(root / name / f"{split}.parquet")


def texts(column: str, count: int, prefix: str = "w") -> dict[str, Any]:
    return {
        column: [f"{prefix}{i} film" for i in range(count)],
        "label": [i % 2 for i in range(count)],
    }


def load_here(name: str, root: Path, **options: Any) -> Any:
    return load(name, data_root=root, cache_dir=root / "cache", **options)


def test_the_digits_are_those_of_scikit_learn() -> None:
    data = load("digits")
    oracle = load_digits()
    pairs = zip(oracle.images, oracle.target, strict=True)
    rows = {image.astype(int).tobytes(): int(target) for image, target in pairs}
    splits = (data.train, data.validation, data.test)
    assert sum(map(len, splits)) == 1797
    seen = set()
    for split in splits:
        assert isinstance(split, ImageSamples)
        levels = (split.pixels.double() * 16 / 255).round().long().squeeze(1).numpy()
        for image, label in zip(levels, split.labels.tolist(), strict=True):
            assert rows[image.tobytes()] == label
            seen.add(image.tobytes())
    assert len(seen) == len(rows)


def test_digits_are_split_evenly_and_normalised_by_the_training_split() -> None:
    data = load("digits")
    assert isinstance(data.train, ImageSamples)
    x = data.train.take(torch.arange(len(data.train)))
    assert x.shape == (len(data.train), 1, 8, 8)
    assert float(x.mean()) == pytest.approx(0, abs=1e-5)
    assert float(x.std(correction=0)) == pytest.approx(1, abs=1e-5)
    counts = load_digits().target
    for split, share in ((data.test, 0.2), (data.validation, 0.08)):
        expected = np.bincount(counts) * share
        assert np.abs(split.labels.bincount().numpy() - expected).max() <= 1


def test_another_seed_splits_the_digits_otherwise() -> None:
    first, again, other = (load("digits", seed=seed).test.pixels for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert first.shape != other.shape or not torch.equal(first, other)


def test_texts_in_the_layout_of_the_hub(tmp_path: Path) -> None:
    test = texts("text", 4, prefix="test")
    write_set(tmp_path, "imdb", ["neg", "pos"], train=texts("text", 20), test=test)
    data = load_here("imdb", tmp_path)
    assert (data.kind, data.label_names, data.num_classes) == ("text", ("neg", "pos"), 2)
    assert [len(s) for s in (data.train, data.validation, data.test)] == [18, 2, 4]
    # fitted on the training split only
    words = data.preprocessor.vocabulary.words
    assert len(words) == 19
    assert not any(word.startswith("test") for word in words)


def test_sst2_has_its_official_validation_split_unless_told_otherwise(tmp_path: Path) -> None:
    write_set(
        tmp_path,
        "sst2",
        ["negative", "positive"],
        train=texts("sentence", 20),
        validation=texts("sentence", 6),
        test=texts("sentence", 4),
    )
    official = load_here("sst2", tmp_path)
    assert [len(s) for s in (official.train, official.validation)] == [20, 6]
    cut = load_here("sst2", tmp_path, official_validation=False)
    assert [len(s) for s in (cut.train, cut.validation)] == [18, 2]


def test_hidden_test_labels_make_the_official_validation_split_the_test(tmp_path: Path) -> None:
    hidden = texts("sentence", 4) | {"label": [-1] * 4}
    write_set(
        tmp_path,
        "sst2",
        ["negative", "positive"],
        train=texts("sentence", 20),
        validation=texts("sentence", 6),
        test=hidden,
    )
    with pytest.warns(UserWarning, match="test labels of sst2 are hidden"):
        data = load_here("sst2", tmp_path)
    assert [len(s) for s in (data.train, data.validation, data.test)] == [18, 2, 6]


def test_dbpedia_reads_title_and_content(tmp_path: Path) -> None:
    rows = {"label": [0, 1] * 5, "title": ["Acme"] * 10, "content": ["makes things"] * 10}
    names = ["Company", "Artist"]
    write_set(tmp_path, "dbpedia_14", names, train=rows, test=rows)
    data = load_here("dbpedia_14", tmp_path)
    x = data.test.take(torch.tensor([0]))
    ids = x.values[0].tolist()
    assert data.preprocessor.vocabulary.decode(ids) == ["acme", "makes", "things"]


def test_images_and_shards_in_the_layout_of_the_hub(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (12, 5, 4, 3)).astype(np.uint8)
    rows = {"img": [Image.fromarray(p) for p in pixels], "label": [0, 1] * 6}
    for i, part in enumerate((slice(0, 8), slice(8, 12))):
        shard = {key: listed[part] for key, listed in rows.items()}
        write_set(tmp_path, "cifar10", ["cat", "dog"], **{f"train-0000{i}-of-00002": shard})
    write_set(tmp_path, "cifar10", ["cat", "dog"], test=rows)
    data = load_here("cifar10", tmp_path, validation_fraction=0.2)
    assert [len(s) for s in (data.train, data.validation, data.test)] == [10, 2, 12]
    assert np.array_equal(data.test.pixels.permute(0, 2, 3, 1).numpy(), pixels)
    assert data.test.labels.tolist() == rows["label"]


def test_without_a_data_root_the_hub_is_asked_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def load_dataset(name: str, **options: Any) -> dict[str, Any]:
        asked.append(name)
        made = datasets.Dataset.from_dict(texts("text", 20))
        return {"train": made, "test": made, "unsupervised": made}

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    data = load("imdb")
    assert asked == ["stanfordnlp/imdb"]
    assert len(data.test) == 20


def test_without_a_connection_the_error_names_the_way_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def load_dataset(name: str, **options: Any) -> None:
        raise ConnectionError("no route to the hub")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(InputError, match=r"no route to the hub.*: check the connection, or name"):
        load("imdb")


@pytest.mark.parametrize(
    ("name", "nearest"), [("sst3", "sst2"), ("fashion-mnist", "fashion_mnist"), ("digit", "digits")]
)
def test_an_unknown_name_suggests_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(InputError, match=f"no data set, file or folder '{name}'.*'{nearest}'"):
        load(name)


def test_a_data_root_without_the_set_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"lacks .*imdb.train\.parquet: expected one folder"):
        load_here("imdb", tmp_path)


def test_labels_and_columns_of_a_named_set_are_checked(tmp_path: Path) -> None:
    good, wrong = texts("text", 6), texts("text", 6) | {"label": [0, 1, 0, -1, 1, 0]}
    write_set(tmp_path, "imdb", ["neg", "pos"], train=good, test=wrong)
    with pytest.raises(InputError, match="row 3 of the test split is -1: expected one of the 2"):
        load_here("imdb", tmp_path)
    write_set(tmp_path, "ag_news", ["x", "y"], train=texts("body", 6), test=good)
    with pytest.raises(InputError, match="train split of ag_news has no column 'text'"):
        load_here("ag_news", tmp_path)
    none = {"text": ["film"] * 4, "label": [0] * 4}
    write_set(tmp_path, "imdb", ["neg", "pos"], train=none, test=good)
    with pytest.raises(InputError, match="all training labels are 'neg'"):
        load_here("imdb", tmp_path)


def test_a_seed_below_zero_is_refused() -> None:
    with pytest.raises(InputError, match="seed is -1"):
        load("digits", seed=-1)
