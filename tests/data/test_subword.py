"""The tokenizer of a pretrained model as a preprocessor."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from associated_learning.data import SubwordPreprocessor, load, preprocessor_from_dict
from associated_learning.errors import InputError
from hub_folders import WORDS, write_films, write_tokenizer

TEXTS = ["A good film", "bad", "unseen films badly", "a " * 30]


@pytest.mark.parametrize("max_length", [None, 6])
def test_ids_are_those_of_transformers(max_length: int | None, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    preprocessor = SubwordPreprocessor.load(write_tokenizer(tmp_path), max_length=max_length)
    batch = preprocessor(TEXTS)
    cut = {} if max_length is None else {"truncation": True, "max_length": max_length}
    oracle = AutoTokenizer.from_pretrained(tmp_path)(
        TEXTS, padding=True, return_tensors="pt", **cut
    )
    assert torch.equal(batch.values, oracle["input_ids"])
    assert torch.equal(batch.mask().long(), oracle["attention_mask"])


def test_padding_is_that_of_the_tokenizer(tmp_path: Path) -> None:
    preprocessor = SubwordPreprocessor.load(write_tokenizer(tmp_path, padding="[SEP]"))
    assert preprocessor(["a good film", "bad"]).values[1].tolist() == [2, 6, 3, 3, 3]


@pytest.mark.parametrize(
    ("settings", "limit"),
    [
        ({}, None),
        ({"model_max_length": 9}, 9),
        ({"truncation": 7}, 7),
        ({"truncation": 7, "model_max_length": 9}, 7),
        ({"model_max_length": 10**30}, None),
    ],
)
def test_without_a_length_the_tokenizers_own_limit_holds(
    settings: dict[str, Any], limit: int | None, tmp_path: Path
) -> None:
    preprocessor = SubwordPreprocessor.load(write_tokenizer(tmp_path, **settings))
    assert preprocessor.max_length == limit
    lengths = preprocessor(["bad", "a " * 30]).lengths.tolist()
    assert lengths == [3, 32 if limit is None else limit]


def test_it_is_rebuilt_from_json_alone(tmp_path: Path) -> None:
    fitted = SubwordPreprocessor.load(write_tokenizer(tmp_path), max_length=5)
    values = json.loads(json.dumps(fitted.to_dict()))
    again = preprocessor_from_dict(values)
    assert torch.equal(again(TEXTS).values, fitted(TEXTS).values)
    assert again.to_dict() == fitted.to_dict()
    assert len(repr(again)) < 100


def test_samples_are_batched_like_texts(tmp_path: Path) -> None:
    preprocessor = SubwordPreprocessor.load(write_tokenizer(tmp_path))
    samples = preprocessor.samples([*TEXTS, ""], torch.arange(5))
    assert samples.lengths.tolist() == [5, 3, 7, 32, 2]
    for i, text in enumerate(TEXTS):
        alone = preprocessor([text]).values
        assert torch.equal(samples.take(torch.tensor([i])).values, alone)
    assert preprocessor.vocabulary_size == len(WORDS)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("a film", "expected a list of one or more texts"),
        ([], "expected a list of one or more texts"),
        ([3], "input 0 is int: expected a text"),
        (["a film", " "], r"text 1 has no word at all \(' '\): leave it out"),
        (["xyzzy"], r"text 0 has no known token \('xyzzy'\)"),
    ],
)
def test_what_cannot_be_predicted_is_named(texts: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        SubwordPreprocessor.load(write_tokenizer(tmp_path))(texts)


def test_a_length_without_room_for_a_word_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="max_length is 2: expected more than the 2 special"):
        SubwordPreprocessor.load(write_tokenizer(tmp_path), max_length=2)


def test_a_folder_without_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no tokenizer that can be read"):
        SubwordPreprocessor.load(tmp_path)


def test_a_foreign_tokenizer_is_named() -> None:
    with pytest.raises(InputError, match=r"the tokenizer cannot be read .*; expected the JSON"):
        SubwordPreprocessor(tokenizer="{}")


@pytest.mark.parametrize("package", ["transformers", "tokenizers"])
def test_a_missing_package_is_named(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_tokenizer(tmp_path)
    values = SubwordPreprocessor.load(folder).to_dict()
    monkeypatch.setitem(sys.modules, package, None)
    call = SubwordPreprocessor.load if package == "transformers" else preprocessor_from_dict
    with pytest.raises(InputError, match=rf"package {package}, .* 'associated_learning\[hf\]'"):
        call(folder if package == "transformers" else values)  # type: ignore[operator]


def test_data_are_loaded_by_a_tokenizer(tmp_path: Path) -> None:
    write_films(tmp_path / "t.csv", 40)
    preprocessor = SubwordPreprocessor.load(write_tokenizer(tmp_path / "model"))
    data = load(tmp_path / "t.csv", text_column="text", preprocessor=preprocessor)
    assert (data.kind, data.preprocessor) == ("text", preprocessor)
    ids = data.train.take(torch.tensor([0])).values[0].tolist()
    assert ids[:2] == [2, 4]
    assert ids[2] in (5, 6)
    assert ids[3:] in ([7, 3], [7, 8, 3], [7, 8, 8, 3])
    with pytest.raises(InputError, match="kind image came for a model whose"):
        load("digits", preprocessor=preprocessor)


def test_a_text_is_tokenised_once(tmp_path: Path) -> None:
    preprocessor = SubwordPreprocessor.load(write_tokenizer(tmp_path))
    own, seen = preprocessor._own, []

    class Counted:
        def encode_batch(self, texts: list[str]) -> Any:
            seen.extend(texts)
            return own.encode_batch(texts)

        def __getattr__(self, name: str) -> Any:
            if name.startswith("encode"):
                raise AssertionError(name)
            return getattr(own, name)

    preprocessor.__dict__["_own"] = Counted()
    preprocessor(TEXTS)
    assert seen == TEXTS
