"""Categories and missing numbers become the features that scikit-learn makes of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from associated_learning.data import TablePreprocessor, load, preprocessor_from_dict
from associated_learning.errors import InputError
from associated_learning.runs.deployment.runner import table

COLUMNS = ("age", "port", "fare")


def rows(count: int = 60) -> np.ndarray[tuple[int, int], np.dtype[np.object_]]:
    """Return rows in which some ages and some ports are missing."""
    draw = np.random.default_rng(0)
    made = np.empty((count, 3), object)
    for i in range(count):
        made[i] = [float(draw.integers(1, 80)), str(draw.choice(["S", "C", "Q"])), draw.normal()]
    made[::7, 0] = None
    made[::11, 1] = ""
    return made


def scikit_learns(fitted: np.ndarray, new: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    """Return the features of new rows; numbers in age's place, then ports, then the fare."""
    parts = ColumnTransformer(
        [
            ("age", SimpleImputer(missing_values=np.nan, add_indicator=True), [0]),
            ("port", OneHotEncoder(categories=[["C", "Q", "S"]], handle_unknown="ignore"), [1]),
            ("fare", "passthrough", [2]),
        ],
        sparse_threshold=0,
    )
    parts.set_params(age__strategy="median")
    steps = make_pipeline(parts, StandardScaler())
    values = [np.where([[v is None for v in row] for row in some], np.nan, some)
              for some in (fitted, new)]  # fmt: skip
    return steps.fit(values[0]).transform(values[1]).astype(np.float32)  # type: ignore[no-any-return]


def test_features_are_those_of_scikit_learn() -> None:
    fitted = rows()
    new = rows(9)
    new[0, 1] = "nowhere"  # seen never before
    preprocessor = TablePreprocessor.fit(fitted, columns=COLUMNS)
    expected = torch.from_numpy(scikit_learns(fitted, new))
    torch.testing.assert_close(preprocessor(new.tolist()), expected, atol=1e-6, rtol=1e-6)
    named = [dict(zip(COLUMNS, row, strict=True)) for row in new.tolist()]
    assert torch.equal(preprocessor(named), preprocessor(new.tolist()))
    again = preprocessor_from_dict(json.loads(json.dumps(preprocessor.to_dict())))
    assert again == preprocessor
    how = {name: value for name, value in preprocessor.to_dict().items() if name != "kind"}
    by_runner, notes = table.prepare(named, how)
    assert np.array_equal(by_runner["x"], preprocessor(new.tolist()).numpy())
    assert notes == ["unknown port 'nowhere'", *[None] * 8]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([1.0, "S", None], "column 'fare': the value is missing, as it is in no training row"),
        (["old", "S", 1.0], "column 'age': the value is 'old'; expected a finite number"),
        ([1.0, "S", float("inf")], "column 'fare': the value is inf"),
        ([1.0, 7, 1.0], "column 'port': the value is the number 7; expected a text"),
        ([1.0, "S"], r"row 0 has 2 values: expected 3 \['age', 'port', 'fare'\]"),
    ],
)
def test_a_bad_value_is_named(row: list[object], message: str) -> None:
    preprocessor = TablePreprocessor.fit(rows(), columns=COLUMNS)
    with pytest.raises(InputError, match=message):
        preprocessor([row])


def test_a_file_with_both_is_a_table_and_what_is_missing_is_said(tmp_path: Path) -> None:
    lines = [",".join("" if v is None else str(v) for v in row) for row in rows()]
    text = ["age,port,fare,label", *(f"{line},{i % 2}" for i, line in enumerate(lines))]
    (tmp_path / "ships.csv").write_text("\n".join(text))
    with pytest.warns(UserWarning, match=r"numbers are missing in 'age' \(\d+\.?5?\): each gap"):
        data = load(tmp_path / "ships.csv", cache_dir=tmp_path / "cache")
    assert (data.kind, data.preprocessing["columns"]) == ("table", list(COLUMNS))
    assert data.train.take(torch.arange(4)).shape == (4, 2 + 3 + 1)
    fare = load(tmp_path / "ships.csv", cache_dir=tmp_path / "cache", feature_columns=["fare"])
    assert "encodings" not in fare.preprocessing
