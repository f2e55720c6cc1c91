from __future__ import annotations

import csv
import json
import os
import socket
import time
from pathlib import Path

import pytest
import torch

from associated_learning.data import DataSet, TableSamples, TextSamples, load
from associated_learning.errors import InputError

ROWS = [(i, 2.5 * i, "ab"[i % 2]) for i in range(40)]


def write_csv(path: Path, header: list[str], rows: list[tuple[object, ...]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writerow(header)
        writer.writerows(rows)
    return path


def write(path: Path, header: list[str], rows: list[tuple[object, ...]]) -> Path:
    if path.suffix in {".csv", ".tsv"}:
        return write_csv(path, header, rows)
    if path.suffix == ".jsonl":
        lines = [json.dumps(dict(zip(header, row, strict=True))) for row in rows]
        path.write_text("\n".join(lines), encoding="utf-8")
        return path
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = dict(zip(header, map(list, zip(*rows, strict=True)), strict=True))
    pq.write_table(pa.table(columns), path)
    return path


def open_file(path: Path, **options: object) -> DataSet:
    return load(path, cache_dir=path.parent / "cache", **options)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_numeric_columns_are_standardised_by_the_training_rows(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"rows{suffix}", ["x", "y", "label"], ROWS)
    data = open_file(path)
    assert (data.kind, data.label_names) == ("table", ("a", "b"))
    sizes = [len(split) for split in (data.train, data.validation, data.test)]
    assert sizes == [28, 4, 8]
    assert isinstance(data.train, TableSamples)
    x = data.train.features
    torch.testing.assert_close(x.mean(0), torch.zeros(2), atol=1e-6, rtol=0)
    torch.testing.assert_close(x.std(0, correction=0), torch.ones(2))
    # both columns are multiples of the row number, whose parity is the label
    back = x * torch.tensor(data.preprocessing["std"]) + torch.tensor(data.preprocessing["mean"])
    numbers = back[:, 0].round().long()
    torch.testing.assert_close(back[:, 1], 2.5 * back[:, 0])
    assert torch.equal(numbers % 2, data.train.labels)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_texts_and_labels_of_any_column(tmp_path: Path, suffix: str) -> None:
    rows = [(f"word{i} film", i, "np"[i % 2]) for i in range(20)]
    path = write(tmp_path / f"texts{suffix}", ["review", "id", "mood"], rows)
    data = open_file(path, text_column="review", label_column="mood")
    assert (data.kind, data.label_names) == ("text", ("n", "p"))
    assert isinstance(data.train, TextSamples)
    words = data.preprocessor.vocabulary
    for i in range(len(data.train)):
        x = data.train.take(torch.tensor([i]))
        first, second = words.decode(x.values[0].tolist())
        assert second == "film"
        assert int(first.removeprefix("word")) % 2 == int(data.train.labels[i])


def test_a_single_column_of_texts_beside_the_labels_needs_no_name(tmp_path: Path) -> None:
    rows = [(f"word{i}", i % 2) for i in range(20)]
    data = open_file(write(tmp_path / "texts.csv", ["note", "label"], rows))
    assert (data.kind, data.label_names) == ("text", ("0", "1"))


def test_whole_numbers_as_labels_are_named_in_their_order(tmp_path: Path) -> None:
    rows = [(i, (10, 9, 100)[i % 3]) for i in range(30)]
    data = open_file(write(tmp_path / "rows.csv", ["x", "label"], rows))
    assert data.label_names == ("9", "10", "100")


def test_feature_columns_choose_and_order(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", ["x", "y", "label"], ROWS)
    data = open_file(path, feature_columns=["y", "x"])
    assert data.preprocessing["columns"] == ["y", "x"]


def test_a_test_file_is_the_test_split(tmp_path: Path) -> None:
    path = write(tmp_path / "train.csv", ["x", "y", "label"], ROWS)
    other = write(tmp_path / "test.csv", ["y", "label", "x"], [(0, "b", 1), (5, "a", 2)])
    data = open_file(path, test_data=other)
    assert len(data.train) + len(data.validation) == 40
    assert data.test.labels.tolist() == [1, 0]


def test_the_split_is_seeded_and_stratified(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", ["x", "y", "label"], ROWS)
    first, again, other = (open_file(path, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.test.take(torch.arange(8)), again.test.take(torch.arange(8)))
    assert not torch.equal(first.test.take(torch.arange(8)), other.test.take(torch.arange(8)))
    assert first.test.labels.bincount().tolist() == [4, 4]
    assert first.validation.labels.bincount().tolist() == [2, 2]


def test_noise_reaches_the_training_labels_only(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", ["x", "y", "label"], ROWS)
    clean, noisy = open_file(path), open_file(path, label_noise=1.0)
    assert not torch.equal(clean.train.labels, noisy.train.labels)
    assert torch.equal(clean.validation.labels, noisy.validation.labels)
    assert torch.equal(clean.test.labels, noisy.test.labels)


def test_a_limit_leaves_validation_and_test_as_they_are(tmp_path: Path) -> None:
    rows = [(f"word{i}", i % 2) for i in range(40)]
    path = write(tmp_path / "texts.csv", ["text", "label"], rows)
    whole, part = open_file(path), open_file(path, limit_train=6)
    assert len(part.train) == 6
    assert torch.equal(whole.validation.labels, part.validation.labels)
    assert len(part.preprocessor.vocabulary.words) == 6


@pytest.mark.parametrize(
    ("header", "rows", "options", "message"),
    [
        (["x", "y", "label"], [], {}, "with one or more rows"),
        (["x", "label"], [(i, 1) for i in range(9)], {}, "all training labels are '1'"),
        (["x", "label"], [(1, 0.5), (2, 1.0)], {}, r"a label is 0\.5: expected classes"),
        (
            ["x", "label"],
            [(1, "a"), (2, ""), (3, "b")],
            {},
            r"the label of line 3 of .*own\.csv is missing",
        ),
        (
            ["when", "x", "label"],
            [(f"2026-11-{i + 1:02}", i, i % 2) for i in range(9)],
            {},
            "'when' holds dates: make numbers of them, such as days since the first",
        ),
        (
            ["name", "x", "label"],
            [(f"name {i}", i, i % 2) for i in range(30)],
            {},
            "'name' holds no numbers, and 30 different texts in 30 rows .such as 'name 0'.,",
        ),
        (
            ["x", "y", "label"],
            [(1, 2, "a"), ("inf", 1, "b"), (3, 4, "a")],
            {},
            r"line 3 of .*own\.csv, column 'x': the value is inf",
        ),
        (
            ["x", "y", "label"],
            ROWS,
            {"label_column": "klass"},
            "no column 'klass': its columns are 'x', 'y', 'label'",
        ),
        (
            ["x", "y", "label"],
            ROWS,
            {"text_column": "txt"},
            "no column 'txt': its columns are 'x', 'y', 'label'",
        ),
        (
            ["x", "y", "label"],
            ROWS,
            {"feature_columns": ["x", "z"]},
            "no column 'z': its columns are 'x', 'y', 'label'",
        ),
        (
            ["x", "y", "label"],
            ROWS,
            {"feature_columns": ["x", "label"]},
            "'label' came both for the inputs and for the labels",
        ),
        (["x", "y", "label"], ROWS, {"text_column": "x"}, "line 2 of .* 'x': the text is int 0"),
        (
            ["t", "label"],
            [("a", 0), ("", 1), ("b", 1)],
            {"text_column": "t"},
            r"line 3 of .*own\.csv, column 't': the text is missing",
        ),
        (
            ["id", "note", "label"],
            [(1, "hi", 0), (2, "ho", 1)],
            {},
            r"'note' holds no numbers, .* features \(--feature-columns\)",
        ),
        (
            ["id", "note", "label"],
            [(1, "hi", 0), (2, "ho", 1)],
            {"feature_columns": ["note"]},
            "'note' holds no numbers, and 2 different texts in 2 rows",
        ),
        (["text", "label"], [("...", 0), ("!", 1)] * 9, {}, "no training text has a word"),
        (["7", "2.5", "a"], [(8, 1.5, "b")] * 9, {}, "the first line is no header: write one"),
    ],
)
def test_faults_in_a_file_are_named(
    tmp_path: Path,
    header: list[str],
    rows: list[tuple[object, ...]],
    options: dict[str, object],
    message: str,
) -> None:
    path = write(tmp_path / "own.csv", header, rows)
    with pytest.raises(InputError, match=message):
        open_file(path, **options)


def test_a_test_file_with_an_unknown_label_or_other_columns_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "train.csv", ["x", "y", "label"], ROWS)
    unknown = write(tmp_path / "unknown.csv", ["x", "y", "label"], [(1, 2, "a"), (1, 2, "c")])
    with pytest.raises(InputError, match=r"line 3 of .*unknown\.csv is 'c': expected one of the 2"):
        open_file(path, test_data=unknown)
    columns = write(tmp_path / "columns.csv", ["x", "z", "label"], [(1, 2, "a")])
    with pytest.raises(InputError, match=r"columns\.csv has no column 'y'"):
        open_file(path, test_data=columns)
    with pytest.raises(InputError, match=r"there is no file .*absent\.csv"):
        open_file(path, test_data=tmp_path / "absent.csv")


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_an_unreadable_file_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"own{suffix}"
    path.write_bytes(b"" if suffix == ".csv" else b"{garbage")
    with pytest.raises(InputError, match=r"cannot read .*own"):
        open_file(path)


def test_a_file_of_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "own.xlsx"
    path.write_bytes(b"")
    with pytest.raises(InputError, match=r"none of \.csv, \.tsv, .*spreadsheets save as CSV UTF-8"):
        open_file(path)


def test_a_changed_file_with_its_old_time_stamp_is_read_anew(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", ["x", "y", "label"], ROWS)
    before, first = path.stat(), open_file(path)
    write(path, ["x", "y", "label"], [(x, y, "ba"[i % 2]) for i, (x, y, _) in enumerate(ROWS)])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert open_file(path).test.labels.tolist() != first.test.labels.tolist()


@pytest.mark.parametrize("word", ["NA", "None", "null", "nan", "N/A"])
def test_words_that_others_take_for_missing_are_texts_and_labels(word: str, tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", ["text", "label"], [(word, "x"), ("film", word)] * 12)
    data = open_file(path)
    assert set(data.label_names) == {"x", word}
    assert "film" in data.preprocessor.vocabulary.words


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("a,a,label\n1,2,x\n3,4,y\n", {}, "2 columns of the name 'a'"),
        ("a,label\n1,2,x\n3,4,y\n", {}, "first row of .* has 3 fields, but the header names 2"),
        ("a,label\n1,x\n3,4,y\n", {}, "Expected 2 fields in line 3, saw 3"),
        ("text,label\nx,x\ny,y\n", {"text_column": "label"}, "both for the inputs and for the"),
    ],
)
def test_what_readers_guess_at_is_refused(
    content: str, options: dict[str, str], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "own.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        open_file(path, **options)


@pytest.mark.parametrize("label", ["[1]", '{"a": 1}'])
def test_labels_that_are_lists_or_objects_are_refused(label: str, tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text(f'{{"text": "film", "label": {label}}}\n' * 9)
    with pytest.raises(InputError, match="the labels are lists or objects"):
        open_file(path)


@pytest.mark.parametrize("first", [2**53 + 1, 2**63 + 1])
def test_whole_numbers_beyond_floats_are_refused(first: int, tmp_path: Path) -> None:
    path = write(tmp_path / "own.csv", ["x", "label"], [(first + i, i % 2) for i in range(9)])
    with pytest.raises(InputError, match="'x' of the train split holds whole numbers that"):
        open_file(path)


def test_a_wide_table_takes_linear_time(tmp_path: Path) -> None:
    """A copy of all features for every column would take minutes."""
    names = [f"x{i}" for i in range(1_500)]
    rows = [(*(i * j % 7 for i in range(1_500)), "ab"[j % 2]) for j in range(9)]
    path, begin = write(tmp_path / "wide.csv", [*names, "label"], rows), time.process_time()
    open_file(path)
    assert time.process_time() - begin < 8


@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
def test_json_that_is_nested_without_end_is_refused(suffix: str, tmp_path: Path) -> None:
    """The parser of pyarrow would crash the process."""
    path = tmp_path / f"own{suffix}"
    path.write_text(
        '{"text": "[[[{{", "label": 1}\n{"text": ' + "[" * 50_000 + "]" * 50_000 + "}\n"
    )
    with pytest.raises(InputError, match=r"line 2 of .*own.* is nested more than 100 deep"):
        open_file(path)


def test_a_file_of_another_encoding_is_told_so(tmp_path: Path) -> None:
    path = tmp_path / "latin.csv"
    path.write_bytes("city,x,label\nKöln,1,a\nKöln,2,b\n".encode("latin-1"))
    with pytest.raises(InputError, match="it is no UTF-8; save it so"):
        open_file(path)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_reading_a_file_of_ones_own_asks_no_server(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def getaddrinfo(host: str, *_: object, **__: object) -> None:
        asked.append(host)
        raise OSError("no network")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    open_file(write(tmp_path / f"rows{suffix}", ["x", "y", "label"], ROWS))
    assert asked == []
