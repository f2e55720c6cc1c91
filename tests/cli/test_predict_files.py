"""``al predict`` on files: each row in its place, read by column, and written in spite of kills."""

from __future__ import annotations

import csv
import json
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import associated_learning.cli.predict as command
from associated_learning.cli.answers import CHUNK
from associated_learning.cli.main import app
from associated_learning.errors import InputError
from commands import run_al

WORDS = {"five": ("lovely", "great", "fine"), "one": ("awful", "dull", "bad")}


def answered(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def train(folder: Path, data: Path, *more: str) -> Path:
    run_al(
        "train", "--data", data, "--hidden", 8, "--epochs", 12, "--lr", 0.02, "--batch-size", 8,
        "--patience", 0, "--threads", 1, "--quiet", "--run-folder", folder / "run", *more,
    )  # fmt: skip
    return folder / "run"


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    rows = [f"a {WORDS[y][i % 3]} film,{y}\n" for i in range(30) for y in WORDS]
    (folder / "reviews.csv").write_text("review,stars\n" + "".join(rows))
    columns = ("--label-column", "stars", "--embedding-dim", "8")  # the one of texts is found
    return train(folder, folder / "reviews.csv", "--model", "bilstm", *columns)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("table")
    rows = [f"{i % 7},{i * i % 5},{'high' if i % 7 > 3 else 'low'}\n" for i in range(140)]
    (folder / "t.csv").write_text("a,b,label\n" + "".join(rows))
    return train(folder, folder / "t.csv", "--model", "mlp")


def test_blank_lines_and_unknown_words_keep_their_place(texts: Path, tmp_path: Path) -> None:
    file = tmp_path / "lines.txt"
    file.write_text("a lovely film\n\nxyzzy !\na dull\u2028film\n   \n", newline="")
    found = answered(run_al("predict", texts, "--file", file, "--json"))
    assert [answer["label"] is None for answer in found] == [False, True, False, False, True]
    assert [answer["note"] for answer in found] == [None, "empty", "no known word", None, "empty"]
    assert [found[0]["label"], found[3]["label"]] == ["five", "one"]
    alone = answered(run_al("predict", texts, "zyx", "--json"))[0]  # as any unknown word
    both = answered(run_al("predict", texts, "quux plugh", "zyx", "--json"))[1]
    assert both["probabilities"] == pytest.approx(alone["probabilities"], abs=1e-6)
    shown = run_al("predict", texts, "--file", file)
    assert "no known word" in " ".join(shown.split())
    assert "(empty)" in shown


def test_files_are_read_by_the_columns_of_the_run(texts: Path, table: Path, tmp_path: Path) -> None:
    rows = [{"id": 1, "review": "a lovely, fine film"}, {"id": 2, "review": "dull\nand bad"}]
    forms = {
        "x.csv": 'id,review\n1,"a lovely, fine film"\n\n2,"dull\nand bad"\n3,\n',
        "x.tsv": 'review\tid\na lovely, fine film\t1\n\n"dull\nand bad"\t2\n\t3\n',
        "x.jsonl": f'{json.dumps(rows[0])}\n\n{json.dumps(rows[1])}\n{{"review": null}}\n',
    }
    for name, content in forms.items():
        (tmp_path / name).write_text(content)
        found = answered(run_al("predict", texts, "--file", tmp_path / name, "--json"))
        assert [answer["label"] for answer in found] == ["five", None, "one", None]
        assert found[0]["input"] == rows[0]["review"]
    (tmp_path / "t.csv").write_text("b,name,a\n1,x,6\n,,\n4,y,0\n")
    found = answered(run_al("predict", table, "--file", tmp_path / "t.csv", "--json"))
    plain = answered(run_al("predict", table, "6,1", "", "0,4", "--json"))
    assert [answer["label"] for answer in found] == ["high", None, "low"]
    assert [a["probabilities"] for a in found] == [a["probabilities"] for a in plain]


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("x.csv", "a,c\n1,2\n", "line 2 of .* has no column 'b'"),
        ("x.csv", "a,b\n1,2\n1\n", "line 3 of .* has 1 fields"),
        ("x.csv", "a,b\n1,2\n1,\n", "line 3 of .*csv, column 'b': the value is ''; expected a num"),
        ("x.jsonl", '{"a": 1, "b": 2}\n[1]\n', "line 2 of .* expected a JSON object"),
        ("x.jsonl", '{"a": 1, "b": 2\n', "line 1 of .* is no JSON"),
        ("x.txt", "1,2\n1,2,3\n", "line 2 of .* has 3 values"),
        (
            "x.txt",
            "1,nan\n",
            "line 1 of .*txt, '1,nan', column 'b': the value is 'nan'; expected a n",
        ),
    ],
)
def test_faults_of_a_file_are_told_with_their_line(
    table: Path, tmp_path: Path, name: str, content: str, match: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=match):
        run_al("predict", table, "--file", tmp_path / name)


def test_a_killed_output_goes_on_to_equal_bytes(
    texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, out = tmp_path / "lines.txt", tmp_path / "out.jsonl"
    file.write_text("".join(f"a {'lovely ' * (i % 5)}film\n" for i in range(3 * CHUNK + 9)))
    whole = run_al("predict", texts, "--file", file, "--json")
    answers, starts = command.answers, []

    def killed(*args: Any, start: int, **kwargs: Any) -> Any:
        yield from islice(answers(*args, start=start, **kwargs), 2)
        raise typer.Abort

    def counted(*args: Any, start: int, **kwargs: Any) -> Any:
        starts.append(start)
        return answers(*args, start=start, **kwargs)

    monkeypatch.setattr(command, "answers", killed)
    CliRunner().invoke(app, ["predict", str(texts), "--file", str(file), "--output", str(out)])
    assert not out.exists()
    [partial] = tmp_path.glob("*.unfinished")
    partial.write_bytes(partial.read_bytes()[:-20])  # a torn line
    monkeypatch.setattr(command, "answers", counted)
    run_al("predict", texts, "--file", file, "--output", tmp_path / "other.jsonl", "--depth", 1)
    run_al("predict", texts, "--file", file, "--output", out)
    assert starts == [0, 1]
    assert out.read_text() == whole
    assert not list(tmp_path.glob("*.unfinished"))
    with pytest.raises(InputError, match="exists"):
        run_al("predict", texts, "--file", file, "--output", out)


def test_columns_come_back_with_the_answers(table: Path, tmp_path: Path) -> None:
    """All columns of the file, as they stood there, and the answers that --json prints."""
    file, rows = tmp_path / "new.csv", ['r1,1,3,"x, y"', "r2,6,2,", "", 'r3,0,"4","two\nlines"']
    file.write_text("\n".join(["name,a,b,remark", *rows]))
    told = answered(run_al("predict", table, "--file", file, "--json"))
    for ending, separator in (("csv", ","), ("tsv", "\t")):
        run_al("predict", table, "--file", file, "--output", tmp_path / f"out.{ending}")
        with (tmp_path / f"out.{ending}").open(encoding="utf-8", newline="") as out:
            found = list(csv.DictReader(out, delimiter=separator))
        with file.open(newline="") as given:
            own = list(csv.reader(given))[1:]
        for row, answer, before in zip(found, told, own, strict=True):
            assert list(row.values())[:4] == (before or [""] * 4)
            label = answer["label"]
            assert row["prediction"] == (label or "")
            assert row["note"] == (answer["note"] or "")
            if label is not None:
                assert float(row["probability"]) == answer["probabilities"][label]
    with pytest.raises(InputError, match="has a column 'depth' itself"):
        run_al("predict", table, "--file", tmp_path / "out.csv", "--output", tmp_path / "more.csv")
    run_al("predict", table, "1,2", "--output", tmp_path / "one.csv")
    assert (
        (tmp_path / "one.csv").read_text().startswith('input,prediction,probability,depth,note\n"1')
    )


def test_two_columns_of_texts_are_one_text(tmp_path: Path) -> None:
    """As if they had been joined in the file, in training and in new files."""
    parts = [(f"a {WORDS[y][i % 3]}", f"film {i % 4}", y) for i in range(20) for y in WORDS]
    for name, header, lines in (
        ("two", "title,body,label", [",".join(part) for part in parts]),
        ("one", "text,label", [f"{title} {body},{y}" for title, body, y in parts]),
    ):
        (tmp_path / f"{name}.csv").write_text("\n".join([header, *lines]))
    found = []
    for name, columns in (("two", "title,body"), ("one", "text")):
        data = tmp_path / f"{name}.csv"
        sizes = ("--model", "bilstm", "--embedding-dim", "4", "--epochs", "1")
        run = train(tmp_path / name, data, "--text-column", columns, *sizes)
        found.append(answered(run_al("predict", run, "--file", data, "--json")))
    assert found[0] == found[1]
