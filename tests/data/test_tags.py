"""Texts with a label for every word: read, aligned with tokens, taken in batches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from associated_learning.data import (
    Batches,
    SubwordPreprocessor,
    TaggedText,
    TagPreprocessor,
    preprocessor_from_dict,
)
from associated_learning.data.reading.tagged_texts import read_tagged
from associated_learning.errors import InputError
from hub_folders import write_tokenizer

TEXTS = [
    TaggedText(["a", "films", "goodly"], [1, 0, 2]),
    TaggedText(["Bad"], [2]),
    TaggedText(["good", "zebra", "film", "a"], [0, -100, 1, 1]),
]


def samples_of(preprocessor: TagPreprocessor) -> Any:
    return preprocessor.samples(TEXTS, torch.zeros(len(TEXTS), dtype=torch.int64))


def test_labels_stand_at_the_first_piece_of_a_word(tmp_path: Path) -> None:
    """As by the pieces and words that the tokenizer of transformers tells."""
    from transformers import AutoTokenizer

    write_tokenizer(tmp_path)
    published = AutoTokenizer.from_pretrained(tmp_path)
    preprocessor = TagPreprocessor(words=SubwordPreprocessor.load(tmp_path).of_words())
    samples = samples_of(preprocessor)
    x, y = samples.take(torch.arange(3)), samples.targets(torch.arange(3))
    for i, text in enumerate(TEXTS):
        encoding = published(text.words, is_split_into_words=True)
        expected, seen = [], set()
        for word in encoding.word_ids():
            expected.append(-100 if word is None or word in seen else text.tags[word])
            seen.add(word)
        count = len(expected)
        assert x.values[i, :count].tolist() == encoding["input_ids"]
        assert y[i, :count].tolist() == expected
        assert set(y[i, count:].tolist()) <= {-100}
    assert preprocessor.placed([TEXTS[0].words])[1] == [[1, 2, 4]]
    assert preprocessor_from_dict(preprocessor.to_dict()) == preprocessor


def test_words_of_a_byte_level_tokenizer_have_a_space_before_them() -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    own = Tokenizer(models.BPE())
    own.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    own.train_from_iterator(["a good film a good film"], trainers.BpeTrainer(show_progress=False))
    words = SubwordPreprocessor(tokenizer=own.to_str()).of_words()
    (ids,) = TagPreprocessor(words=words)([["a", "good", "film"]]).values.tolist()
    assert ids == own.encode(" a good film").ids


def test_batches_keep_words_and_labels_together() -> None:
    """Of our own vocabulary, in any order and of any subset."""
    preprocessor = TagPreprocessor.fit(TEXTS, vocabulary_size=100, max_length=None)
    assert isinstance(preprocessor.words.vocabulary.words, tuple)  # type: ignore[union-attr]
    samples = samples_of(preprocessor)
    for source in (samples, samples.subset(torch.tensor([2, 0]))):
        seen = []
        for x, y in Batches(samples=source, batch_size=2, seed=3).epoch(0):
            for ids, length, tags in zip(x.values, x.lengths.tolist(), y, strict=True):
                vocabulary = preprocessor.words.vocabulary  # type: ignore[union-attr]
                words = vocabulary.decode(ids[:length].tolist())
                seen.append((words, tags[:length].tolist()))
                assert (tags[length:] == -100).all()
        expected = [([word.lower() for word in words], list(tags)) for words, tags in TEXTS]
        assert sorted(seen) == sorted(expected if source is samples else [expected[2], expected[0]])
    assert preprocessor_from_dict(preprocessor.to_dict()) == preprocessor


def test_texts_that_are_too_long_are_told_at_prediction(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    cut = TagPreprocessor(words=SubwordPreprocessor.load(tmp_path, max_length=4))
    with pytest.raises(InputError, match=r"word 2 of text 1 \('a'\) has no token"):
        cut.placed([["a"], ["good", "film", "a"]])
    assert samples_of(cut).tags.tolist().count(-100) > 0
    for wrong in ("a film", [], [[]], ["a film"], [["a", 3]]):
        with pytest.raises(InputError, match="expected a list of one or more"):
            cut(wrong)  # type: ignore[arg-type]


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return path


def test_labels_are_names_or_numbers(tmp_path: Path) -> None:
    named = write(
        tmp_path / "named.jsonl",
        {"tokens": ["a", "b"], "ner_tags": ["O", "B"]}, {"tokens": ["c"], "ner_tags": ["I"]},
    )  # fmt: skip
    raw = read_tagged(named)
    assert raw.label_names == ("B", "I", "O")
    assert raw.splits["train"].inputs == [TaggedText(["a", "b"], [2, 0]), TaggedText(["c"], [1])]
    numbered = write(tmp_path / "n.jsonl", {"words": ["a", "b", "c"], "classes": [7, -100, 5]})
    raw = read_tagged(numbered, text_column="words", label_column="classes")
    assert (raw.label_names, raw.splits["train"].inputs[0].tags) == (("5", "7"), [1, -100, 0])


def test_names_in_a_parquet_file_are_those_of_its_numbers(tmp_path: Path) -> None:
    from datasets import ClassLabel, Dataset, Features, List, Value

    features = Features(
        {"tokens": List(Value("string")), "ner_tags": List(ClassLabel(names=["O", "PER", "LOC"]))}
    )
    rows = {"tokens": [["a", "b"], ["c"]], "ner_tags": [[2, 0], [-100]]}
    file = tmp_path / "tags.parquet"
    Dataset.from_dict(rows, features=features).to_parquet(file)
    raw = read_tagged(file)
    assert raw.label_names == ("O", "PER", "LOC")
    assert [text.tags for text in raw.splits["train"].inputs] == [[2, 0], [-100]]


GOOD = {"tokens": ["a", "b"], "tags": [1, 2]}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"tokens": ["a", "b"], "tags": [1]}, r"line 2 of .*tags\.jsonl has 2 words and 1 labels"),
        ({"tokens": [], "tags": []}, r"line 2 of .*tags\.jsonl has 0 words"),
        ({"tokens": None, "tags": [1]}, "line 2 of .*, column 'tokens': 'None' is no"),
        ({"tokens": ["a", None], "tags": [1, 2]}, "line 2 .* None is no word"),
        ({"tokens": ["a"], "tags": [None]}, "line 2 of .* has the label None"),
        ({"tokens": ["a"], "tags": [-1]}, "word 0 of line 2 .* has the label -1; expected one of"),
    ],
)
def test_rows_that_do_not_fit_are_named(row: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        read_tagged(write(tmp_path / "tags.jsonl", GOOD, row))


def test_files_that_do_not_fit_are_told(tmp_path: Path) -> None:
    ragged = write(tmp_path / "r.jsonl", {"tokens": ["a"], "tags": [[1]]})
    with pytest.raises(InputError, match=r"line 1 of .*r\.jsonl has the label \[1\]"):
        read_tagged(ragged)
    plain = write(tmp_path / "p.jsonl", {"tokens": "a b", "tags": "O O"})
    with pytest.raises(InputError, match="'a b' is no list"):
        read_tagged(plain)
    nested = write(tmp_path / "w.jsonl", {"tokens": [["a"]], "tags": [1]})
    with pytest.raises(InputError, match=r"\['a'\] is no word"):
        read_tagged(nested)
    ignored = write(tmp_path / "i.jsonl", GOOD)
    test = write(tmp_path / "it.jsonl", {"tokens": ["a"], "tags": [-100]})
    with pytest.raises(InputError, match="no label of the test split counts: all are -100"):
        read_tagged(ignored, test_data=test)
    with pytest.raises(InputError, match=r"all training labels are \(\)"):
        read_tagged(test)
    unknown = write(tmp_path / "u.jsonl", {"tokens": ["a"], "tags": [3]})
    with pytest.raises(InputError, match=r"word 0 of line 1 of .*u\.jsonl has the label 3"):
        read_tagged(ignored, test_data=unknown)
    two = write(tmp_path / "t.jsonl", {"tokens": ["a"], "tags": [1], "labels": [1]})
    with pytest.raises(InputError, match="choose the label column"):
        read_tagged(two)
    with pytest.raises(InputError, match="has no column 'words'"):
        read_tagged(ignored, text_column="words")
    with pytest.raises(InputError, match="there is no file conll"):
        read_tagged("conll")
