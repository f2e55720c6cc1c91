"""A message about a row names the line that the row begins in, as an editor counts lines."""

from __future__ import annotations

import json
from pathlib import Path

import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from associated_learning.data import load
from associated_learning.data.tables.row_places import FileRows
from associated_learning.errors import InputError

FIELDS = st.text(alphabet='a",\n', max_size=4)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(FIELDS, FIELDS, st.integers(0, 2)), min_size=1, max_size=6))
def test_lines_are_where_pandas_rows_begin(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, int]]
) -> None:
    """Each row is marked by a number of its own, which stands in the line that is named."""
    path = tmp_path_factory.mktemp("places") / "x.csv"
    text = "number,a,b\n"
    for number, (a, b, blank) in enumerate(rows):
        quoted = ",".join('"' + field.replace('"', '""') + '"' for field in (a, b))
        text += "\n" * blank + f"row {number},{quoted}\n"
    path.write_text(text, newline="")
    places = FileRows(path, "the train split")
    for number, name in enumerate(pandas.read_csv(path)["number"]):
        line = int(places.row(number).split()[1])
        assert text.split("\n")[line - 1].startswith(f"{name},")


def test_rows_of_json_lines_and_of_other_files(tmp_path: Path) -> None:
    lines, whole = tmp_path / "x.jsonl", tmp_path / "x.json"
    lines.write_text('{"a": 1}\n\n{"a": 2}\n')
    whole.write_text(json.dumps([{"a": 1}, {"a": 2}], indent=1))
    assert FileRows(lines, "it").row(1) == f"line 3 of {lines}"
    assert FileRows(whole, "it").row(1) == f"row 2 of {whole}"
    assert FileRows(lines, "it").subset([1, 0]).subset([0]).row(0) == f"line 3 of {lines}"


def test_a_fault_that_only_a_split_shows_names_the_line_of_the_file(tmp_path: Path) -> None:
    """A number that is missing in the test rows alone, of a file that is cut into splits."""
    path = tmp_path / "x.csv"
    rows = [f"{i},{'red' if i % 2 else 'blue'},{i % 2}" for i in range(40)]
    whole = load(_write(path, rows), cache_dir=tmp_path / "cache")
    tested = {float(v) for v in (whole.test.features[:, 0] * _std(whole) + _mean(whole)).round()}
    rows[int(min(tested))] = f",red,{int(min(tested)) % 2}"
    with pytest.raises(InputError, match=rf"line {int(min(tested)) + 2} of .*x\.csv, column 'n'"):
        load(_write(path, rows), cache_dir=tmp_path / "cache")


def _write(path: Path, rows: list[str]) -> Path:
    path.write_text("\n".join(["n,colour,label", *rows]))
    return path


def _mean(data: object) -> float:
    return float(data.preprocessing["mean"][0])  # type: ignore[attr-defined]


def _std(data: object) -> float:
    return float(data.preprocessing["std"][0])  # type: ignore[attr-defined]


def test_categories_that_training_did_not_see_are_counted_and_said(tmp_path: Path) -> None:
    train = _write(tmp_path / "train.csv", [f"{i},{'rb'[i % 2]},{i % 2}" for i in range(40)])
    test = _write(tmp_path / "test.csv", ["1,teal,0", "2,r,1", "3,teal,1"])
    said = "2 rows of the test split hold a 'colour' that training did not see: 'teal'; they count"
    with pytest.warns(UserWarning, match=said):
        load(train, test_data=test, cache_dir=tmp_path / "cache")
