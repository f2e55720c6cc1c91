"""Files of columns as people and spreadsheets write them hold what the plain file holds."""

from __future__ import annotations

import csv
import gc
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from associated_learning.cli.questions import questions
from associated_learning.data import DataSet, load
from associated_learning.data.tables.table_preprocessor import TablePreprocessor
from associated_learning.data.tables.written_numbers import number_of
from associated_learning.errors import InputError
from associated_learning.runs.deployment.description import export_description
from associated_learning.runs.deployment.runner import table
from associated_learning.runs.folder.open_run import open_run
from associated_learning.runs.inputs import load_data
from associated_learning.runs.run import train_run
from associated_learning.runs.settings.config import RunConfig
from associated_learning.runs.settings.resolved import resolved

Row = tuple[float | None, str, float]  # area (or a gap), where it lies, rent
NAMES = ("area", "place", "rent")
Write = Callable[[float], str]


def rows() -> list[Row]:
    drawn = random.Random(0)
    areas = [None if i % 9 == 4 else drawn.randrange(20, 4000) / 2 for i in range(60)]
    return [(a, "a, b" if i % 3 else 'so "c"', drawn.randrange(100, 9999) / 4)
            for i, a in enumerate(areas)]  # fmt: skip


def written(
    path: Path,
    *,
    number: Write = str,
    gap: str = "",
    separator: str = ",",
    encoding: str = "utf-8",
    names: Sequence[str] = NAMES,
) -> Path:
    with path.open("w", encoding=encoding, newline="") as file:
        lines = csv.writer(file, delimiter=separator)
        lines.writerow(names)
        for area, place, rent in rows():
            lines.writerow([gap if area is None else number(area), place, number(rent)])
    return path


def read(path: Path) -> DataSet:
    return load(path, label_column="rent", task="regression", cache_dir=path.parent / "cache")


def comma(value: float) -> str:
    return str(value).replace(".", ",")


WAYS = {
    "semicolons and decimal commas": {"separator": ";", "number": comma},
    "points between thousands": {
        "separator": ";",
        "number": lambda x: f"{x:,.2f}".translate({ord(","): ".", ord("."): ","}),
    },
    "semicolons and decimal points": {"separator": ";"},
    "tabs in a .csv": {"separator": "\t", "gap": "NA"},
    "bars": {"separator": "|", "gap": "n/a"},
    "UTF-16, as a spreadsheet's Unicode text": {"separator": "\t", "encoding": "utf-16"},
    "a byte order mark": {"encoding": "utf-8-sig", "gap": "?"},
    "percent": {"number": lambda x: f"{x} %", "gap": "-"},
    "money": {"number": lambda x: f"${x:,.3f}", "gap": "--"},
    "euros": {"number": lambda x: f"{x}\N{NO-BREAK SPACE}€", "gap": "NaN"},
    "exponents": {"number": lambda x: f"{x:.6e}", "gap": "null"},
    "spaces around names": {"names": ("area ", " place", " rent")},
}


@pytest.mark.filterwarnings("ignore:numbers are missing in 'area'")
@pytest.mark.parametrize("way", WAYS)
def test_however_it_is_written_it_is_the_same_table(way: str, tmp_path: Path) -> None:
    plain = read(written(tmp_path / "plain.csv"))
    found = read(written(tmp_path / "other.csv", **WAYS[way]))  # type: ignore[arg-type]
    assert found.preprocessing == plain.preprocessing
    assert found.target_scale == plain.target_scale
    for mine, other in ((found.train, plain.train), (found.test, plain.test)):
        every = torch.arange(len(other))
        torch.testing.assert_close(mine.take(every), other.take(every), rtol=0, atol=0)


@pytest.mark.filterwarnings("ignore:numbers are missing in 'area'")
@pytest.mark.parametrize("way", ["semicolons and decimal commas", "tabs in a .csv", "percent"])
def test_new_files_are_read_as_those_of_training(way: str, tmp_path: Path) -> None:
    """By `al predict` and by the runner of an export, which must not read 80,5 as 805."""
    plain, other = written(tmp_path / "plain.csv"), tmp_path / "other.csv"
    settings = {"data": str(plain), "label_column": "rent", "feature_columns": "area,place"}
    train_run(RunConfig(epochs=1, threads=1, hidden=4, **settings), tmp_path / "run")
    opened = open_run(tmp_path / "run")
    written(other, **WAYS[way])  # type: ignore[arg-type]
    expected = torch.stack([one.features for one in questions(opened, [], str(plain))])  # type: ignore[misc]
    found = torch.stack([one.features for one in questions(opened, [], str(other))])  # type: ignore[misc]
    assert torch.equal(found, expected)
    how = export_description(opened, ("x",), 1)["preprocessing"]
    lines = other.read_text().splitlines()
    by_runner, _ = table.prepare([row for (row,) in table.given(lines, how)], how)
    torch.testing.assert_close(torch.from_numpy(by_runner["x"]), expected)


@pytest.mark.parametrize("text", ["1,23", "12,3456", "1.2.3", "1 2", "red", "0x10", "1_000"])
def test_what_may_be_another_number_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="is no number"):
        number_of(text)


def test_decimal_commas_between_commas_are_told(tmp_path: Path) -> None:
    """They are categories to whoever does not look, and a target of as many classes."""
    path = written(tmp_path / "quoted.csv", number=comma)
    with pytest.raises(InputError, match=r"'area' holds numbers with decimal commas \(such as"):
        load(path, label_column="place", cache_dir=tmp_path / "cache")
    with pytest.raises(InputError, match="the label column holds numbers with decimal commas"):
        load(path, label_column="rent", feature_columns=["place"], cache_dir=tmp_path / "cache")


def test_names_of_rows_and_empty_columns_are_left_out(tmp_path: Path) -> None:
    lines = [f"{i + 1},C{i:03},{i % 7},{i % 5},,{i % 2}" for i in range(40)]
    path = tmp_path / "people.csv"
    path.write_text("\n".join([",customer_id,visits,valid,note,label", *lines]))
    with pytest.warns(UserWarning, match="left out") as said:
        data = load(path, cache_dir=tmp_path / "cache")
    told = [str(one.message) for one in said]
    assert any("left out 'note': no row has a value there" in one for one in told)
    assert any("left out 'Unnamed: 0', 'customer_id': each row has its own" in one for one in told)
    assert data.preprocessing["columns"] == ["visits", "valid"]
    chosen = load(path, feature_columns=["Unnamed: 0"], cache_dir=tmp_path / "cache")
    assert chosen.preprocessing["columns"] == ["Unnamed: 0"]


def test_a_run_reads_the_columns_that_it_learned_from(tmp_path: Path) -> None:
    """Whatever a later version leaves out by default: an older run stays readable."""
    lines = [f"{i + 1},{i % 7},{i % 2}" for i in range(40)]
    (tmp_path / "people.csv").write_text("\n".join(["customer_id,visits,label", *lines]))
    config = resolved(RunConfig(data=str(tmp_path / "people.csv"), model="mlp"))
    old = TablePreprocessor.fit([[1.0, 2.0], [3.0, 4.0]], columns=("customer_id", "visits"))
    assert load_data(config, old).preprocessing["columns"] == list(old.columns)


@pytest.mark.filterwarnings("ignore:unclosed file")  # by the reader that had to give up
def test_a_mark_far_down_is_one_of_numbers(tmp_path: Path) -> None:
    """Readers that look at so many rows at a time take the column for whole numbers till then."""
    lines = [f"{'?' if i == 15_000 else i % 90},{'ab'[i % 2]}" for i in range(16_000)]
    (tmp_path / "long.csv").write_text("\n".join(["x,label", *lines]))
    with pytest.warns(UserWarning, match="numbers are missing in 'x'"):
        data = load(tmp_path / "long.csv", cache_dir=tmp_path / "cache")
    gc.collect()  # here, and not in another test, is its file closed
    assert list(data.preprocessing["encodings"][0]) == ["fill"]


def test_labels_that_look_alike(tmp_path: Path) -> None:
    """Spaces make no class of their own; cases do, but not in silence."""
    labels = ["Yes", "Yes ", "No", " No", "NO", "maybe"] * 10
    path = tmp_path / "answers.csv"
    path.write_text("\n".join(["x,label", *(f"{i},{one}" for i, one in enumerate(labels))]))
    with pytest.warns(UserWarning, match="'NO' and 'No' are taken for different classes"):
        data = load(path, cache_dir=tmp_path / "cache")
    assert data.label_names == ("NO", "No", "Yes", "maybe")
