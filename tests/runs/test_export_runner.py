"""Exports are whole: their runner, where there is no torch, labels as the run does."""

from __future__ import annotations

import csv
import functools
import importlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_digits

from associated_learning.cli.main import main
from associated_learning.data.tables.table_preprocessor import TablePreprocessor
from associated_learning.data.texts.text_preprocessor import TextPreprocessor
from associated_learning.errors import InputError
from associated_learning.runs.deployment import description
from associated_learning.runs.deployment.runner import image, text
from associated_learning.runs.deployment.write_runner import runner_source
from associated_learning.runs.folder.open_run import open_run
from associated_learning.runs.run import train_run
from associated_learning.runs.settings.config import RunConfig
from hub_folders import write_config, write_tokenizer
from onnx_operators import operators_listed_once  # noqa: F401

SCHEMA = json.loads(Path(description.__file__).with_name("schema.json").read_text())
ROOM = ("numpy", "numpy.libs", "onnxruntime", "PIL", "pillow.libs")  # what a runner may import
STRANGE = (
    "<b>Don't</b> &amp; it#39;s 2 GOOD!<br /> quot;film&quot;",
    "a <!-- hidden <b> film --> good > <a <!-- x --> bad>film",
    "\u0130stanbul STRASSE Stra\u00dfe caf\u00e9 \u6620\u753b \u0664\u0662 under_score film",
    "&lt;b&gt; film &#x41; &unknown; ; amp; the good",
    "qqq zzz",
    "<!-- never closed good film",
    "good " * 50,
)


STRANGE_UNKNOWN = ("qqq zzz",)


class Case(NamedTuple):
    """A run, and inputs as they stand in files."""

    run: Path
    inputs: tuple[str, ...]


def trained(folder: Path, **settings: Any) -> Path:
    train_run(RunConfig(epochs=1, threads=1, batch_size=32, **settings), folder / "run")
    return folder / "run"


def films(folder: Path) -> str:
    words = (("good", "up"), ("bad", "down"))
    lines = [f"the {word} film &amp; {i % 7},{label}" for i in range(60) for word, label in words]
    (folder / "films.csv").write_text("\n".join(["text,label", *lines]))
    return str(folder / "films.csv")


def text_case(folder: Path) -> Case:
    sizes = {"hidden": 6, "embedding_dim": 8, "max_length": 9, "remove_stop_words": True}
    return Case(trained(folder, data=films(folder), model="bilstm", **sizes), STRANGE)


def subword_case(folder: Path) -> Case:
    place = write_tokenizer(write_config(folder / "bert", num_hidden_layers=2))
    run = trained(folder, data=films(folder), model=f"hf:{place}", max_length=8, at="2")
    return Case(run, ("A good film", "bads", "good " * 20))


def table_case(folder: Path) -> Case:
    rows, labels = load_digits(return_X_y=True)
    lines = [",".join([*map(str, row), f"digit {y}"]) for row, y in zip(rows, labels, strict=True)]
    names = ",".join([*(f"pixel {i}" for i in range(64)), "label"])
    (folder / "digits.csv").write_text("\n".join([names, *lines]))
    run = trained(folder, data=str(folder / "digits.csv"), model="mlp", hidden=16)
    return Case(run, tuple(line.rpartition(",")[0] for line in lines[:130]))


def image_case(folder: Path) -> Case:
    digits, files = load_digits(), []
    for i in range(300):
        files.append(folder / "digits" / f"digit {digits.target[i]}" / f"{i}.png")
        files[-1].parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.rint(digits.images[i] * 255 / 16).astype(np.uint8)).save(files[-1])
    run = trained(folder, data=str(folder / "digits"), model="mlp", hidden=16)
    return Case(run, tuple(map(str, [*files[:66], *odd_images(folder)])))


def odd_images(folder: Path) -> list[Path]:
    """Return images of other sizes, modes and formats."""
    noise = np.random.default_rng(0).integers(0, 256, (13, 17, 4), np.uint8)
    colours = Image.fromarray(noise[..., :3])
    made = {
        "colours.jpg": colours,
        "alpha.png": Image.fromarray(noise),
        "palette.png": colours.quantize(16),
        "bits.png": colours.convert("1"),
    }
    for name, picture in made.items():
        picture.save(folder / name)
    return [folder / name for name in made]


MADE: dict[str, Callable[[Path], Case]] = {
    "text": text_case,
    "subword": subword_case,
    "table": table_case,
    "image": image_case,
}


@pytest.fixture(scope="module")
def trained_case(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Case]:
    """Return what trains a run of a kind once, for all tests that only read it."""
    return functools.cache(lambda kind: MADE[kind](tmp_path_factory.mktemp(kind)))


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of packages in which there is neither torch nor this library."""
    folder = tmp_path_factory.mktemp("room")
    site = Path(np.__file__).parents[1]
    for name in ROOM:
        if (site / name).exists():
            (folder / name).symlink_to(site / name)
    return folder


def al(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["al", *arguments])
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def alone(room: Path, runner: Path, inputs: Sequence[str], *, piped: bool = False) -> list[Any]:
    """Run a runner where only the packages of the room are, and return what it prints."""
    start = (
        f"import sys, runpy; sys.path.append({str(room)!r}); del sys.argv[0]\n"
        "for name in ('torch', 'associated_learning'):\n"
        "    try: __import__(name)\n"
        "    except ModuleNotFoundError: continue\n"
        "    sys.exit(f'{name} is here')\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    ended = subprocess.run(
        [sys.executable, "-I", "-S", "-X", "utf8", "-c", start, str(runner)]
        + ([] if piped else list(inputs)),
        input="\n".join(inputs) if piped else None,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return [json.loads(line) for line in ended.stdout.splitlines()]


SERVER = """
import io, json, os, runpy, sys
sys.path.append({room!r})
import numpy, onnxruntime, PIL.Image
for name in ("torch", "associated_learning"):
    try: __import__(name)
    except ModuleNotFoundError: continue
    sys.exit(f"{{name}} is here")
told = sys.stdout
for line in sys.stdin:
    asked = json.loads(line)
    if os.fork():
        if status := os.wait()[1]:
            print(json.dumps([status, "", "it died"]), flush=True)
        continue
    sys.argv, sys.stdin = asked["argv"], io.StringIO(asked["piped"])
    sys.stdout, sys.stderr, code = io.StringIO(), io.StringIO(), 0
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        code = print(end, file=sys.stderr) or 1
    except BaseException as error:
        code = sys.excepthook(type(error), error, error.__traceback__) or 1
    print(json.dumps([code, sys.stdout.getvalue(), sys.stderr.getvalue()]), file=told, flush=True)
    os._exit(0)
"""
Ended = tuple[int, str, str]  # exit code, output, errors


@pytest.fixture(scope="module")
def run_in_room(room: Path) -> Iterator[Callable[..., Ended]]:
    """Return what runs a runner as `alone` does, forked from a process that stays in the room."""
    command = [sys.executable, "-I", "-S", "-X", "utf8", "-c", SERVER.format(room=str(room))]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None

        def run(runner: Path, *given: str, piped: str = "") -> Ended:
            server.stdin.write(json.dumps({"argv": [str(runner), *given], "piped": piped}) + "\n")
            server.stdin.flush()
            code, out, err = json.loads(server.stdout.readline())
            return code, out, err

        yield run


@pytest.fixture(scope="module")
def ask(run_in_room: Callable[..., Ended]) -> Callable[..., list[Any]]:
    """Return what runs a runner in the room and gives its answers."""

    def ask(runner: Path, inputs: Sequence[str], *, piped: bool = False) -> list[Any]:
        given = [] if piped else inputs
        code, out, err = run_in_room(runner, *given, piped="\n".join(inputs) if piped else "")
        assert code == 0, err
        return [json.loads(line) for line in out.splitlines()]

    return ask


def asked_of(shown: Any) -> str:
    """Return an input as it came: rows are told by column."""
    return ",".join(shown.values()) if isinstance(shown, dict) else str(shown)


def expected(case: Case, depth: int | None) -> tuple[list[str], torch.Tensor]:
    """Return the run's own labels and probabilities, calibrated by its temperature."""
    opened = open_run(case.run)
    made: Any = opened.preprocessor
    if isinstance(made, TextPreprocessor):
        x, _ = made.recognised(case.inputs)
    elif isinstance(made, TablePreprocessor):
        x = made([[float(value) for value in line.split(",")] for line in case.inputs])
    else:
        x = made(case.inputs)
    with torch.no_grad():
        output = opened.net(x, opened.depth(depth))
    temperature = json.loads((case.run / "temperatures.json").read_text())[opened.depth(depth) - 1]
    names = [opened.label_names[i] for i in output.argmax(1)]
    return names, (output / temperature).softmax(1)


@pytest.mark.filterwarnings("ignore:the image file .* is resized:UserWarning")  # which is meant
@pytest.mark.parametrize(
    ("kind", "depth"),
    [("text", 1), ("text", None), ("subword", None), ("table", 1), ("image", None)],
)
def test_runner_without_torch_answers_as_the_run(
    kind: str,
    depth: int | None,
    trained_case: Callable[[str], Case],
    room: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At any depth; `test_export` exports each family at each."""
    case = trained_case(kind)
    to = tmp_path / "my model.onnx"
    asked = [] if depth is None else ["--depth", str(depth)]
    assert al("export", str(case.run), str(to), *asked, monkeypatch=monkeypatch) == 0
    stated = json.loads(to.with_suffix(".json").read_text())
    jsonschema.validate(stated, SCHEMA)
    (held,) = onnx.load(to).metadata_props
    of_files = {"files", "digest"}  # a file cannot hold a digest of itself
    whole = {name: value for name, value in stated.items() if name not in of_files}
    assert (held.key, json.loads(held.value)) == ("export", whole)
    if stated["kind"] == "subword":  # it needs one more package, and that is said
        site = Path(np.__file__).parents[1]
        room = tmp_path / "room"
        room.mkdir()
        for name in (*ROOM, "tokenizers"):
            (room / name).symlink_to(site / name)
    runner = tmp_path / "my model_runner.py"
    assert len(runner.read_text().splitlines()) <= 60
    answers = alone(room, runner, case.inputs)
    labels, probabilities = expected(case, depth)
    shown = [asked_of(answer["input"]) for answer in answers]
    assert shown == list(case.inputs)
    unknown = [i for i, text in enumerate(case.inputs) if text in STRANGE_UNKNOWN]
    assert [i for i, answer in enumerate(answers) if answer["note"]] == unknown
    assert [answer["label"] for answer in answers] == labels
    assert list(answers[0]["probabilities"]) == list(open_run(case.run).label_names)
    found = torch.tensor([list(answer["probabilities"].values()) for answer in answers])
    torch.testing.assert_close(found, probabilities, atol=1e-5, rtol=1e-4)


@pytest.mark.filterwarnings("ignore:the image file .* is resized:UserWarning")  # which is meant
def test_runner_prints_what_al_predict_prints(
    trained_case: Callable[[str], Case],
    tmp_path: Path,
    ask: Callable[..., list[Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run, inputs = trained_case("image")
    inputs = (inputs[0], "", *inputs[1:])
    to, piped = tmp_path / "digits.onnx", tmp_path / "files.txt"
    assert al("export", str(run), str(to), monkeypatch=monkeypatch) == 0
    piped.write_text("\n".join(inputs))
    capsys.readouterr()
    assert al("predict", str(run), "--file", str(piped), "--json", monkeypatch=monkeypatch) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    answers = ask(tmp_path / "digits_runner.py", inputs, piped=True)
    for answer, other in zip(answers, told, strict=True):
        for name in ("input", "label", "note"):  # those of a blank line too
            assert answer[name] == other[name]
        assert answer["probabilities"] == pytest.approx(other["probabilities"], abs=1e-5)


@given(
    st.lists(st.text(alphabet="aZ<>/!-;&#39bqout \u0130\u00df_好👍e\u0301"), min_size=1, max_size=3)
)
def test_rules_of_tokenisation_are_those_of_training(lines: list[str]) -> None:
    preprocessor = TextPreprocessor.fit(["a b aa ab z o q uot 好 👍 e\u0301"], max_length=5)
    made, notes = text.prepare(lines, description._preprocessing(preprocessor))
    (ids, lengths, *_), _ = preprocessor.recognised(lines)
    assert (made["values"].tolist(), made["lengths"].tolist()) == (ids.tolist(), lengths.tolist())
    for line, note in zip(lines, notes, strict=True):
        refused = pytest.raises(InputError, match=r"no known word|no word at all")
        with refused if note else nullcontext():
            preprocessor([line])


def test_images_that_would_be_misread_are_refused(tmp_path: Path) -> None:
    deep = tmp_path / "deep.png"
    Image.fromarray(np.full((2, 2), 40_000, np.uint16)).save(deep)
    how = {"channels": 1, "size": [2, 2], "mean": [0.5], "std": [1.0]}
    with pytest.raises(ValueError, match="more than 8 bits a channel"):
        image.prepare([deep], how)


def ships(folder: Path) -> Path:
    """Write a table with a category that holds commas, a gap and a column of names; export it."""
    ages = ["" if i % 5 == 0 else i for i in range(60)]
    lines = [
        f'{i % 3},"{"ab"[i % 2]}, {i % 2}",ship {i},{age},{"TRUE" if i % 7 else "false"}'
        for i, age in enumerate(ages)
    ]
    (folder / "ships.csv").write_text("\n".join(["label,port,name,age,sails", *lines]))
    asked = {"data": str(folder / "ships.csv"), "feature_columns": "age,port,sails", "hidden": 4}
    return trained(folder, model="mlp", **asked)


@pytest.mark.filterwarnings("default:1 row holds", "ignore:numbers are missing in 'age'")
def test_a_table_comes_as_its_csv_file(
    tmp_path: Path,
    ask: Callable[..., list[Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A file, a pipe of it, and rows in the order of training: as `al predict --file` answers."""
    run, new = ships(tmp_path), tmp_path / "new.csv"
    new.write_text('name,port,age,sails\nx,"a, 0",3,TRUE\n\ny,"b, 1",,false\nz,"c, 7",4,\nw,,,\n')
    assert al("export", str(run), str(tmp_path / "s.onnx"), monkeypatch=monkeypatch) == 0
    capsys.readouterr()
    assert al("predict", str(run), "--file", str(new), "--json", monkeypatch=monkeypatch) == 0
    out, err = capsys.readouterr()
    assert "1 row holds a 'port' that training did not see: 'c, 7'; it counts as none" in err
    told = [json.loads(line) for line in out.splitlines()]
    by_file = ask(tmp_path / "s_runner.py", [str(new)])
    piped = ask(tmp_path / "s_runner.py", new.read_text().split("\n"), piped=True)
    lines = ['3,"a, 0",True', "", ',"b, 1",FALSE', '4,"c, 7",', ",,"]
    in_order = ask(tmp_path / "s_runner.py", lines)
    assert by_file == piped
    assert [answer["input"].get("name") for answer in by_file] == ["x", None, "y", "z", "w"]
    assert [one["label"] is None for one in by_file] == [False, True, False, False, True]
    assert told[0]["input"] == '3,"a, 0",TRUE'  # which may be asked again
    for some in (by_file, in_order):
        for answer, other in zip(some, told, strict=True):
            assert (answer["label"], answer["note"]) == (other["label"], other["note"])
            assert answer["probabilities"] == pytest.approx(other["probabilities"], abs=1e-5)
    assert by_file[3]["note"] == "unknown port 'c, 7'"


@pytest.mark.parametrize("known", [True, False])  # whether the run was told its text column
def test_texts_come_by_the_column_of_training(
    known: bool,
    tmp_path: Path,
    ask: Callable[..., list[Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    more = {"text_column": "text"} if known else {}
    run = trained(tmp_path, data=films(tmp_path), model="bilstm", hidden=4, embedding_dim=4, **more)
    assert al("export", str(run), str(tmp_path / "s.onnx"), monkeypatch=monkeypatch) == 0
    jsonschema.validate(json.loads((tmp_path / "s.json").read_text()), SCHEMA)
    texts = ["a good; film", "two\nlines, bad", 'the "up" side', "", "xyzzy"]
    asked = ask(tmp_path / "s_runner.py", texts)
    capsys.readouterr()
    assert al("predict", str(run), *texts, "--json", monkeypatch=monkeypatch) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for name in ("input", "label", "note"):  # blank ones too
        assert [one[name] for one in asked] == [one[name] for one in told]
    files = (("csv", ","), ("csv", ";"), ("tsv", "\t"), ("jsonl", ""))
    for ending, separator in files if known else files[:1]:  # all are read by the same name
        with (tmp_path / f"new.{ending}").open("w", encoding="utf-8", newline="") as file:
            rows = [{"id": i, "text": text, "label": "?"} for i, text in enumerate(texts)]
            if separator:
                lines = csv.DictWriter(file, list(rows[0]), delimiter=separator)
                lines.writeheader()
                lines.writerows(rows)
            else:
                rows[3]["text"] = None  # as libraries write a missing text
                file.write("".join(json.dumps(row) + "\n" for row in rows))
        assert ask(tmp_path / "s_runner.py", [file.name]) == asked


@pytest.mark.filterwarnings("ignore:numbers are missing in 'age'")
def test_an_error_of_a_runner_is_one_line(
    tmp_path: Path, run_in_room: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What came, what was expected, what to do; exit code 1, and no traceback."""
    run = ships(tmp_path)
    assert al("export", str(run), str(tmp_path / "s.onnx"), monkeypatch=monkeypatch) == 0
    runner, uses = tmp_path / "s_runner.py", "Labels rows such as 1.5,2 (or FILE.csv with a header"
    (tmp_path / "short.csv").write_text("name,port,age,sails\nx,a\n")
    for asked, what in {
        "old,a,": "'port': 'a', 'sails': ''}]: could not convert string to float: 'old'.",
        "inf,a,": "[{'age': 'inf', 'port': 'a', 'sails': ''}]: array must not contain infs",
        "3": "['3'] came, expected were 3 values: ['age', 'port', 'sails'].",
        str(tmp_path / "short.csv"): "['x', 'a'] came, expected were 4 values:",
        str(tmp_path / "none.csv"): "No such file or directory",
    }.items():
        code, out, err = run_in_room(runner, asked)
        assert (code, out) == (1, "")
        assert what in err
        assert uses in err
        assert err.count("\n") == 1
    code, _, err = run_in_room(runner)
    assert (code, err.startswith(uses)) == (1, True)
    (tmp_path / "s.onnx").unlink()
    ended = subprocess.run([sys.executable, runner, "3,a,"], capture_output=True, text=True)
    assert ended.returncode == 1
    assert "s_runner.py: " in ended.stderr
    assert "s.onnx" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_other_files_are_not_overwritten(
    trained_case: Callable[[str], Case],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = trained_case("table").run
    own = tmp_path / "d_runner.py"
    own.write_text("mine")
    assert al("export", str(run), str(tmp_path / "d.onnx"), monkeypatch=monkeypatch) == 2
    assert "is no runner of an export" in capsys.readouterr().err
    assert own.read_text() == "mine"
    own.unlink()
    for _ in range(2):  # but its own, written once more
        assert al("export", str(run), str(tmp_path / "d.onnx"), monkeypatch=monkeypatch) == 0


@pytest.mark.filterwarnings("ignore:the image file .* is resized:UserWarning")  # which is meant
@pytest.mark.parametrize("mode", ["P", "RGB", "1"])
def test_runner_writes_the_masks_that_al_predict_writes(
    mode: str, tmp_path: Path, ask: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    draw, data = np.random.default_rng(0), tmp_path / "data"
    for name in ("images", "masks"):
        (data / name).mkdir(parents=True)
    (data / "classes.txt").write_text("a 0 0 0\nb 9 200 1" if mode == "RGB" else "a 0\nb 1")
    for i in range(8):
        pixels = draw.integers(0, 256, (8, 12), np.uint8)
        Image.fromarray(pixels).save(data / "images" / f"{i}.png")
        mask = Image.fromarray((pixels > 128).astype(np.uint8))
        mask.putpalette([0, 0, 0, 9, 200, 1])
        mask = Image.fromarray(pixels > 128) if mode == "1" else mask.convert(mode)
        mask.save(data / "masks" / f"{i}.png")
    run = trained(tmp_path, task="segmentation", data=str(data), model="cnn")
    to = tmp_path / "d.onnx"
    assert al("export", str(run), str(to), "--depth", "2", monkeypatch=monkeypatch) == 0
    jsonschema.validate(json.loads(to.with_suffix(".json").read_text()), SCHEMA)
    images = [str(data / "images" / "0.png"), *map(str, odd_images(tmp_path))]
    folders = [tmp_path / "by runner", tmp_path / "by run"]
    ask(tmp_path / "d_runner.py", [str(folders[0]), *images])
    words = ("predict", str(run), *images, "--output", str(folders[1]), "--depth", "2")
    assert al(*words, monkeypatch=monkeypatch) == 0
    files = [sorted(folder.iterdir()) for folder in folders]
    assert len(files[0]) == len(images)
    for one, two in zip(*files, strict=True):
        with Image.open(one) as by_runner, Image.open(two) as by_run:
            assert (by_runner.mode, by_runner.getpalette()) == (mode, by_run.getpalette())
            np.testing.assert_array_equal(np.asarray(by_runner), np.asarray(by_run))


@pytest.mark.parametrize("output", ["logits", "label logits", "standardised"])
@pytest.mark.parametrize("kind", [*MADE, "masks"])
def test_runners_import_neither_torch_nor_us(kind: str, output: str) -> None:
    source = runner_source(kind, output)
    assert len(source.splitlines()) <= 60
    assert "torch" not in source.replace("PyTorch", "")
    assert "associated_learning" not in source
    part = importlib.import_module(f"associated_learning.runs.deployment.runner.{kind}")
    assert part.prepare.__doc__ in source


def test_what_has_no_description_is_refused() -> None:
    with pytest.raises(InputError, match="inputs prepared by str came"):
        description._preprocessing("?")
