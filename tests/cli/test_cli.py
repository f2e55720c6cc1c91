"""The command line, as a user meets it."""

from __future__ import annotations

import io
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path

import onnxruntime
import pytest
import torch
from PIL import Image
from rich.console import Console
from sklearn.datasets import load_digits
from torch import Tensor

import associated_learning
import small_networks
from associated_learning.cli.main import app, main
from associated_learning.cli.predict import _show
from associated_learning.errors import CheckpointError
from associated_learning.inference.exits.record import ExitRecord, record_exits
from associated_learning.inference.export.beside import read_export
from associated_learning.network import ALNetwork
from associated_learning.runs import run as runs
from associated_learning.runs.exits import early_exit
from associated_learning.runs.folder.open_run import open_run
from associated_learning.runs.hub.pretrained import PretrainedModel
from associated_learning.runs.ledger.rows import read_rows
from associated_learning.runs.settings.config import RunConfig
from associated_learning.training.loader import LoaderBatches
from associated_learning.training.progress_bar import ProgressBar
from associated_learning.training.trainer import Trainer
from commands import start

QUICK = ["--epochs", "2", "--limit-train", "200", "--hidden", "16", "--threads", "1"]


def al(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Run ``al`` in this process and return its exit code, output and errors."""
    before, code = sys.argv, 0
    sys.argv = ["al", *arguments]
    try:
        main()
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        sys.argv = before
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["al", "train", *QUICK, "--quiet", "--run-folder", str(folder)])
        with pytest.raises(SystemExit, match=r"^0$"):
            main()
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> str:
    """A copy of a run for each test, which may change it."""
    return str(shutil.copytree(trained, tmp_path / "run"))


def test_help_names_every_command_and_setting(capsys: pytest.CaptureFixture[str]) -> None:
    names = (
        *("demo", "plan", "train", "tune", "grow", "evaluate", "predict", "export", "info"),
        *("runs", "reproduce", "report"),
    )
    _, out, _ = al("--help", capsys=capsys)
    assert all(name in out for name in names)
    _, out, _ = al("train", "--help", capsys=capsys)
    assert all("--" + f.name.replace("_", "-") in out for f in fields(RunConfig))
    assert len(app.registered_commands) == len(names)


def test_training_shows_a_table_and_names_the_next_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, ledger = tmp_path / "run", tmp_path / "ledger.jsonl"
    code, out, err = al(
        "train", *QUICK, "--run-folder", str(folder), "--ledger", str(ledger), capsys=capsys
    )
    assert code == 0
    assert "epoch 2/2" in err
    assert "3 (full)" in out
    assert "al evaluate" in out
    assert (folder / "plots" / "curves.png").stat().st_size > 1000
    assert read_rows(ledger)[0].method == "al"


def test_evaluate_at_all_depths_and_at_one(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = al("evaluate", run, "--json", capsys=capsys)
    scores = json.loads(out)
    stored = json.loads((Path(run) / "result.json").read_text())["test_scores"]
    assert list(scores["accuracy"].values()) == stored
    assert scores["samples"] == 359
    _, out, _ = al("evaluate", run, "--depth", "2", "--json", capsys=capsys)
    assert json.loads(out)["accuracy"] == {"2": stored[1]}
    _, out, _ = al("evaluate", run, capsys=capsys)
    assert "3 (full)" in out


def test_each_split_passes_the_exits_once(
    run: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[int] = []

    def counted(net: ALNetwork, batches: Iterable[tuple[Tensor, Tensor]]) -> ExitRecord:
        record = record_exits(net, batches)
        seen.append(len(record.y))
        return record

    monkeypatch.setattr(early_exit, "record_exits", counted)
    code, _, err = al("evaluate", run, "--exits", "--goal", "cost:40", "--json", capsys=capsys)
    assert code == 0, err
    assert seen == [143, 359]  # validation, then test


def test_exits_are_tuned_and_used(
    run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = str(tmp_path / "digit.png")
    Image.fromarray((load_digits().images[0] * 255 / 16).round().astype("uint8")).save(image)
    code, _, err = al("predict", run, image, "--exit", "auto", capsys=capsys)
    assert code == 2
    assert "--exits" in err
    code, out, err = al("evaluate", run, "--exits", "--goal", "cost:40", "--json", capsys=capsys)
    assert code == 0, err
    report = json.loads(out)
    stored = json.loads((Path(run) / "result.json").read_text())["test_scores"]
    assert [way["accuracy"] for way in report["depths"]] == pytest.approx(stored)
    assert report["met"]
    assert report["validation"]["cost"] <= 0.4
    assert sum(report["test"]["shares"]) == pytest.approx(1)
    costs = [way["flops"] for way in report["budgets"]]
    assert costs == sorted(costs)
    assert (Path(run) / "plots/exits.png").exists()
    _, out, _ = al("evaluate", run, "--exits", capsys=capsys)
    assert "early exit" in out
    _, out, _ = al("predict", run, image, "--exit", "auto", "--json", capsys=capsys)
    answer = json.loads(out)
    depth = str(answer["depth"])
    _, out, _ = al("predict", run, image, "--depth", depth, "--json", capsys=capsys)
    assert json.loads(out)["label"] == answer["label"]
    code, _, err = al("predict", run, image, "--exit", "auto", "--depth", "1", capsys=capsys)
    assert code == 2
    assert "--exit auto --depth 1 came" in err
    for wrong in (("--goal", "speed:2"), ("--goal", "cost"), ("--measure", "luck")):
        code, _, err = al("evaluate", run, "--exits", *wrong, capsys=capsys)
        assert code == 2
        assert "expected" in err


def test_export_to_every_form(run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each form labels the test images as the run does; `test_export.py` compares outputs."""
    opened = open_run(Path(run))
    x = torch.rand(5, *opened.spec.shape)
    expected = opened.net(x, 2).detach()
    graph, program, folder = tmp_path / "d.onnx", tmp_path / "d.pt2", tmp_path / "digits"
    for to in (graph, program, folder):
        code, out, err = al("export", run, str(to), "--depth", "2", capsys=capsys)
        assert (code, err) == (0, "")
        assert to.name in out
    session = onnxruntime.InferenceSession(str(graph))
    torch.testing.assert_close(torch.from_numpy(session.run(None, {"x": x.numpy()})[0]), expected)
    torch.testing.assert_close(torch.export.load(program).module()(x), expected)
    assert torch.equal(PretrainedModel.from_pretrained(folder)(x), expected)
    for exported in (graph, program):
        assert read_export(exported)["label_names"] == list(opened.label_names)
    assert "license" not in (folder / "README.md").read_text().partition("\n---")[0]
    licence = ("--license", "apache-2.0")
    code, out, _ = al("export", run, str(tmp_path / "free"), *licence, capsys=capsys)
    assert "\nlicense: apache-2.0\n" in (tmp_path / "free" / "README.md").read_text()
    code, _, err = al("export", run, str(graph), *licence, capsys=capsys)
    assert (code, "only a folder has a model card" in err) == (2, True)
    graph.write_bytes(graph.read_bytes()[:-1] + b"?")
    with pytest.raises(CheckpointError, match=r"d\.onnx has changed .* Export the run again"):
        read_export(graph)
    for wrong in ("digits", "digits.tflite"):
        code, _, err = al("export", run, str(tmp_path / wrong), capsys=capsys)
        assert code == 2
        assert "exists" in err or "expected" in err


def test_predict_reads_image_files(
    run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digits = load_digits()
    paths = []
    for i in range(3):
        path = tmp_path / f"{i}.png"
        Image.fromarray((digits.images[i] * 255 / 16).round().astype("uint8")).save(path)
        paths.append(str(path))
    code, out, _ = al("predict", run, *paths, "--depth", "1", "--json", capsys=capsys)
    answers = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [answer["depth"] for answer in answers] == [1, 1, 1]
    for answer in answers:
        assert sum(answer["probabilities"].values()) == pytest.approx(1.0, abs=1e-4)
        best = max(answer["probabilities"], key=answer["probabilities"].get)
        assert answer["label"] == best


def write_reviews(path: Path) -> None:
    lines = ["review,stars"]
    for i in range(60):
        good = i % 2 == 0
        word = ("lovely", "great", "fine")[i % 3] if good else ("awful", "dull", "bad")[i % 3]
        lines.append(f"a {word} film number {i},{'five' if good else 'one'}")
    path.write_text("\n".join(lines) + "\n")


def test_own_csv_of_texts_from_training_to_prediction(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_reviews(tmp_path / "reviews.csv")
    folder = str(tmp_path / "run")
    code, _, err = al(
        "train", "--data", str(tmp_path / "reviews.csv"), "--text-column", "review",
        "--label-column", "stars", "--model", "bilstm", "--hidden", "8", "--embedding-dim", "8",
        "--epochs", "20", "--lr", "0.02", "--batch-size", "8", "--quiet", "--run-folder", folder,
        "--patience", "0", capsys=capsys,
    )  # fmt: skip
    assert code == 0, err
    code, out, _ = al("predict", folder, "a lovely film", "a dull film", "--json", capsys=capsys)
    assert [json.loads(line)["label"] for line in out.splitlines()] == ["five", "one"]
    _, out, _ = al("predict", folder, "xyzzy", "--json", capsys=capsys)
    assert json.loads(out)["note"] == "no known word"


def test_own_csv_of_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [f"{i % 7},{(i * i) % 5},{'high' if i % 7 > 3 else 'low'}" for i in range(140)]
    (tmp_path / "t.csv").write_text("a,b,label\n" + "\n".join(rows) + "\n")
    folder = str(tmp_path / "run")
    code, _, err = al(
        "train", "--data", str(tmp_path / "t.csv"), "--epochs", "40", "--patience", "0",
        "--hidden", "32",
        "--quiet", "--run-folder", folder, "--batch-size", "16", capsys=capsys,
    )  # fmt: skip
    assert code == 0, err
    _, out, _ = al("predict", folder, "6,1", "0,1", "--json", capsys=capsys)
    assert [json.loads(line)["label"] for line in out.splitlines()] == ["high", "low"]


def test_runs_lists_a_folder_and_says_which_are_not_finished(
    run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(run, tmp_path / "stopped")
    (tmp_path / "stopped" / "result.json").unlink()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("{")
    code, out, _ = al("runs", str(tmp_path), capsys=capsys)
    assert code == 0
    assert all(len(line) <= 80 for line in out.splitlines())
    rows = {line.split()[1]: line for line in out.splitlines() if line.startswith("│")}
    best = json.loads((Path(run) / "result.json").read_text())
    at = max(range(len(best["validation_scores"])), key=best["validation_scores"].__getitem__)
    assert f"{best['test_scores'][at]:.4f}" in rows["run"]
    assert "not finished" in rows["stopped"]
    assert "cannot be read" in rows["broken"]
    code, _, err = al("runs", str(tmp_path / "nothing"), capsys=capsys)
    assert code == 2
    assert "holds no run" in err


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert al("--version", capsys=capsys)[:2] == (
        0,
        f"associated_learning {associated_learning.__version__}\n",
    )


def test_info_shows_layers_and_parameters(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = al("info", run, capsys=capsys)
    assert code == 0
    # f: 64*16+16, 16*16+16 twice; b: 16*128+128; g: 10*128+128, 128*128+128 twice; h likewise
    f, b, g = [1040, 272, 272], 2176, [1408, 16512, 16512]
    h = [1290, 16512, 16512]
    assert f"training {sum(f) + 3 * b + sum(g) + sum(h):,}" in out.replace("\n", " ")
    assert f"depth 1 {f[0] + b + h[0]:,}" in out.replace("\n", " ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--model", "transfromer"], "Did you mean 'transformer'"),
        (["train", "--data", "fashion_mnits"], "fashion_mnist"),
        (["train", "--data", "sst2", "--data-root", "/nowhere"], "nowhere"),
        (["train", "--model", "bilstm"], "reads text"),
        (["evaluate", "nowhere"], "is no run"),
        (["predict", "RUN", "x.png", "--depth", "9"], "expected 1 to 3"),
        (["predict", "RUN", "--depth", "0", "x.png"], "expected 1 to 3"),
        (["predict", "RUN"], "no input came"),
        (["predict", "RUN", "missing.png"], "missing.png"),
        (["predict", "RUN", "--file", "missing.txt"], "cannot be read as text"),
        (["evaluate", "RUN", "--depth", "deep"], "expected a number of layers, or all"),
        (["evaluate", "RUN", "--split", "tset"], "expected train, validation or test"),
        (["train", "--run-folder", "RUN", "--seed", "8"], "run of other settings"),
        (["train", "--resume", "nowhere"], "is no run"),
        (["train", "--device", "gpu9"], "cannot be used here"),
        (["train", "--device", "meta"], "--device meta cannot be used here"),
        (["train", "--resume", "RUN", "--seed", "0"], "--resume came with --seed, but"),
        (
            ["train", "--resume", "RUN", "--epochs", "9", "--lr", "2"],
            "--resume came with --lr, but",
        ),
        (["train", "--resume", "RUN", "--run-folder", "x"], "--resume came with --run-folder"),
        (["train", "--method", "bp", "--latent", "8"], "--method bp has no associated layers"),
        (["predict", "RUN", "--dept", "2", "x.png"], "no option --dept. Did you mean '--depth'"),
        (["predict", "RUN", "-d=2"], "there is no option -d=2"),
        (["predict", "RUN", "[/b].png"], "[/b].png"),
        (["evaluate", "[red]:fire:"], "[red]:fire: is no run"),
    ],
)
def test_mistakes_end_with_one_message_and_code_2(
    arguments: list[str], message: str, run: str, tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    arguments = [run if a == "RUN" else a for a in arguments]
    code, _, err = al(*arguments, capsys=capsys)
    assert code == 2
    assert message in err.replace("\n", " ")
    assert "Traceback" not in err


def test_a_truncated_checkpoint_is_named(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = next((Path(run) / "checkpoints").glob("best-*/layer-2.safetensors"))
    path.write_bytes(path.read_bytes()[:100])
    code, _, err = al("evaluate", run, capsys=capsys)
    assert code == 2
    assert "truncated" in err


def test_evaluate_refuses_data_that_changed_and_finds_data_that_moved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, moved, folder = tmp_path / "t.csv", tmp_path / "moved.csv", str(tmp_path / "run")
    rows = [f"{i % 7},{(i * i) % 5},{'high' if i % 7 > 3 else 'low'}" for i in range(140)]
    path.write_text("a,b,label\n" + "\n".join(rows) + "\n")
    code, _, err = al(
        "train", "--data", str(path), "--quiet", "--run-folder", folder, "--epochs", "3",
        "--hidden", "8", "--threads", "1", capsys=capsys,
    )  # fmt: skip
    assert code == 0, err
    stored = json.loads((Path(folder) / "result.json").read_text())["test_scores"]
    path.rename(moved)
    path.write_text("a,b,label\n" + "\n".join("1" + row for row in rows) + "\n")
    code, out, err = al("evaluate", folder, "--json", capsys=capsys)
    assert (code, out) == (2, "")
    assert "the data have changed since training (mean of the inputs" in err.replace("\n", " ")
    code, out, err = al("evaluate", folder, "--data", str(moved), "--json", capsys=capsys)
    assert code == 0, err
    assert list(json.loads(out)["accuracy"].values()) == stored
    _, out, _ = al("evaluate", folder, "--data", str(moved), "--depth", "1", capsys=capsys)
    assert "moved.csv" in out.replace("\n", "")
    code, out, err = al("predict", folder, "-1,2", "-.5,-2", "--json", capsys=capsys)
    assert code == 0, err
    assert [json.loads(line)["input"] for line in out.splitlines()] == ["-1,2", "-.5,-2"]


def test_texts_and_labels_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    text, label = "good [/b] :fire: film", "[red]"
    answer = {"input": text, "label": label, "probabilities": {label: 1.0}, "depth": 1}
    _show([[answer | {"note": None}]], False)
    out = capsys.readouterr().out
    assert text in out
    assert label in out


def test_errors_lose_no_brackets(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with tempfile.TemporaryDirectory() as folder:
        code, _, err = al("train", *QUICK, "--tensorboard", "--run-folder", folder, capsys=capsys)
    assert code == 2
    assert "associated_learning[tensorboard]" in err


def test_the_progress_label_is_shown_as_it_is() -> None:
    out = io.StringIO()
    bar = ProgressBar("[/b][red]:fire:", console=Console(file=out, width=100))
    network = small_networks.dense_network()
    batches = LoaderBatches(small_networks.batches_of(1))
    Trainer(epochs=1).fit(network, batches, callbacks=[bar])
    assert "[/b][red]:fire: epoch 1/1" in out.getvalue()


def test_resume_takes_what_may_change_and_the_ledger_only_one_row(
    run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = tmp_path / "ledger.jsonl"
    for options in ([], ["--threads", "2", "--save-every", "9", "--device", "cpu"]):
        code, out, err = al(
            "train", "--resume", run, "--quiet", "--ledger", str(ledger), *options, capsys=capsys
        )
        assert code == 0, err
        assert ("no row was added" in out.replace("\n", " ")) == bool(options)
    (row,) = read_rows(ledger)
    stored = json.loads((Path(run) / "result.json").read_text())
    for name in ("commit", "torch", "hardware"):
        assert getattr(row.result, name) == stored[name]
    assert (row.config["threads"], row.config["save_every"]) == (1, None)


def test_resume_computes_where_and_as_it_is_told(
    run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (Path(run) / "result.json").unlink()
    code, _, err = al(
        "train", "--resume", run, "--quiet", "--threads", "2", "--device", "cpu", capsys=capsys
    )
    assert code == 0, err
    assert torch.get_num_threads() == 2
    code, _, err = al("train", "--resume", run, "--save-every", "0", capsys=capsys)
    assert code == 2
    assert "--save-every 0 came" in err


def test_ctrl_c_before_the_first_checkpoint_promises_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(config: RunConfig, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, "read_inputs", interrupted)
    code, out, _ = al("train", "--run-folder", str(tmp_path / "run"), capsys=capsys)
    assert code == 130
    assert "nothing of the run was saved yet" in out
    assert "--resume" not in out


def test_ctrl_c_saves_and_says_how_to_resume(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    settings = ["--epochs", "500", "--limit-train", "200", "--patience", "0", "--threads", "1"]
    process = start("train", *settings, "--run-folder", str(folder), folder=tmp_path)
    metrics = folder / "metrics.jsonl"
    while process.returncode is None and not (metrics.exists() and metrics.stat().st_size):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate()
    assert process.returncode == 130
    assert f"al train --resume {folder}" in out.replace("\n", "")
    assert (folder / "checkpoints" / "index.json").exists()
