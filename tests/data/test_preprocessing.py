from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from associated_learning.data import (
    TablePreprocessor,
    TextPreprocessor,
    preprocessor_from_dict,
)
from associated_learning.errors import InputError

TEXTS = ["A good, good film", "A bad film!", "..."]


def test_ids_follow_the_frequencies_of_the_training_texts() -> None:
    preprocessor = TextPreprocessor.fit(TEXTS)
    assert preprocessor.vocabulary.words == ("a", "film", "good", "bad")
    x = preprocessor(["Bad Film", "unheard of good"])
    assert x.values.tolist() == [[5, 3, 0], [1, 1, 4]]
    assert x.lengths.tolist() == [2, 3]


def test_samples_equal_predictions_and_a_text_without_words_is_unknown() -> None:
    preprocessor = TextPreprocessor.fit(TEXTS)
    samples = preprocessor.samples(TEXTS, torch.tensor([1, 0, 0]))
    x = samples.take(torch.tensor([0, 1]))
    assert torch.equal(x.values, preprocessor(TEXTS[:2]).values)
    assert samples.take(torch.tensor([2])).values.tolist() == [[1]]
    assert samples.lengths.tolist() == [4, 3, 1]


def test_texts_are_cut_after_tokens_not_characters() -> None:
    preprocessor = TextPreprocessor.fit(["internationalisation is long"], max_length=2)
    (ids,) = preprocessor(["internationalisation is long"]).values.tolist()
    assert preprocessor.vocabulary.decode(ids) == ["internationalisation", "is"]


def test_size_and_stop_words_are_options_of_both_fitting_and_prediction() -> None:
    preprocessor = TextPreprocessor.fit(TEXTS, vocabulary_size=2, remove_stop_words=True)
    assert preprocessor.vocabulary.words == ("film", "good")
    assert preprocessor(["a good film"]).values.tolist() == [[3, 2]]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], "expected a list of one or more texts"),
        ("a film", "expected a list of one or more texts"),
        (["film", 3], "input 1 is int: expected a text"),
        (["film", "  "], "text 1 has no word at all"),
        (["film", "zebra quagga"], r"text 1 has no known word \('zebra quagga'\)"),
        (["film", "..."], "text 1 has no known word"),
    ],
)
def test_a_bad_text_is_named(texts: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        TextPreprocessor.fit(TEXTS)(texts)


def test_unknown_texts_may_be_allowed() -> None:
    x, known = TextPreprocessor.fit(TEXTS).recognised(["zebra film", "zebra quagga", ""])
    assert x.values[1:].tolist() == [[1, 1], [1, 0]]
    assert (x.lengths.tolist(), known) == ([2, 2, 1], [True, False, False])


def test_tables_are_standardised_by_the_rows_they_were_fitted_to() -> None:
    rows = np.array([[1.0, 1e6, 3.0], [2.0, 3e6, 3.0], [6.0, 2e6, 3.0]])
    preprocessor = TablePreprocessor.fit(rows, columns=("a", "b", "c"))
    new = np.array([[5.0, 2e6, 4.0]])
    expected = (new - rows.mean(0)) / np.array([*rows.std(0)[:2], 1.0])
    torch.testing.assert_close(preprocessor(new.tolist()), torch.tensor(expected).float())
    by_name = preprocessor([{"c": 4.0, "a": 5.0, "b": 2e6, "unused": 1.0}])
    assert torch.equal(by_name, preprocessor(new.tolist()))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "expected one or more rows"),
        ([[1.0]], r"row 0 has 1 values: expected 2 \['a', 'b'\]"),
        ([{"a": 1.0}], r"row 0 lacks \['b'\]"),
        ([[1.0, 2.0], [1.0, "x"]], "row 1, column 'b': the value is 'x'"),
        ([[1.0, 2.0], [1.0, None]], "row 1, column 'b': the value is None; expected"),
        ([[1.0, 2.0], [float("nan"), 1.0]], "row 1, column 'a': the value is nan"),
    ],
)
def test_a_bad_row_is_named(rows: object, message: str) -> None:
    preprocessor = TablePreprocessor.fit([[1.0, 2.0], [2.0, 4.0]], columns=("a", "b"))
    with pytest.raises(InputError, match=message):
        preprocessor(rows)


def test_preprocessors_survive_json() -> None:
    text = TextPreprocessor.fit(TEXTS, max_length=7, remove_stop_words=True)
    table = TablePreprocessor.fit([[1.0, 2.0], [2.0, 4.0]], columns=("a", "b"))
    for preprocessor in (text, table):
        values = json.loads(json.dumps(preprocessor.to_dict()))
        assert preprocessor_from_dict(values) == preprocessor


def test_foreign_or_truncated_values_are_refused() -> None:
    with pytest.raises(InputError, match="preprocessing of the kind 'sound' is unknown"):
        preprocessor_from_dict({"kind": "sound"})
    with pytest.raises(InputError, match="kind 'text' lacks the entry 'words'"):
        preprocessor_from_dict({"kind": "text", "max_length": None})


def test_a_length_below_one_is_refused() -> None:
    with pytest.raises(InputError, match="max_length is 0"):
        TextPreprocessor.fit(TEXTS, max_length=0)
