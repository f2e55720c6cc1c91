"""Nothing a stranger names reaches the terminal raw, and nothing that is lost is hidden."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
import time
import warnings
from pathlib import Path

import pytest

from associated_learning.runs.hub.pretrained import PretrainedModel
from associated_learning.runs.run import train_run
from associated_learning.runs.settings.config import RunConfig
from commands import Program, start
from test_cli import al as run_al

SMALL = ("--epochs", "2", "--hidden", "8", "--threads", "1", "--quiet")


def al(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Run ``al`` in this process; return its exit code, and its output and errors in one line."""
    code, *printed = run_al(*arguments, capsys=capsys)
    return code, " ".join("".join(printed).split())


def table(path: Path, labels: tuple[str, str] = ("low", "high")) -> Path:
    rows = [f"{i % 7},{(i * i) % 5},{labels[i % 7 > 3]}" for i in range(140)]
    path.write_text("a,b,label\n" + "\n".join(rows) + "\n")
    return path


def trained(tmp_path: Path, labels: tuple[str, str] = ("low", "high")) -> Path:
    config = RunConfig(data=str(table(tmp_path / "t.csv", labels)), epochs=2, hidden=8, threads=1)
    train_run(config, tmp_path / "run")
    return tmp_path / "run"


def test_names_of_strangers_are_shown_escaped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained(tmp_path, ("<script>|`x`", "b\x1b[31mred"))
    for command in (("predict", str(run), "1,2", "6,1", "5,4"), ("info", str(run))):
        code, out = al(*command, capsys=capsys)
        assert code == 0, out
        assert "\x1b[31m" not in out
    card = PretrainedModel.from_run(run).generate_model_card().content
    assert "<script>" not in card
    assert "\x1b" not in card
    assert "| classes | &lt;script&gt;\\|\\`x\\`, b\\\\x1b\\[31mred |" in card


def test_the_same_command_after_the_data_were_mended_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained(tmp_path)
    command = ("train", "--data", str(tmp_path / "t.csv"), *SMALL, "--run-folder", str(run))
    assert al(*command, capsys=capsys)[0] == 0
    before = (tmp_path / "t.csv").stat()
    table(tmp_path / "t.csv", ("high", "low "))
    os.utime(tmp_path / "t.csv", ns=(before.st_atime_ns, before.st_mtime_ns))
    code, out = al(*command, capsys=capsys)
    assert code == 2
    assert "the data have changed since the run in" in out
    (tmp_path / "t.csv").unlink()
    assert al(*command, capsys=capsys)[0] == 2
    (run / "sources.json").unlink()  # as the message says
    assert al(*command, capsys=capsys)[0] == 0


def test_resume_never_starts_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = trained(tmp_path)
    (run / "result.json").unlink()
    lost = run / "checkpoints" / "index.json"
    lost.rename(tmp_path / "index.json")
    code, out = al("train", "--resume", str(run), capsys=capsys)
    assert (code, "holds no checkpoint to go on from" in out) == (2, True)
    data = str(tmp_path / "t.csv")
    code, out = al("train", "--data", data, *SMALL, "--run-folder", str(run), capsys=capsys)
    assert (code, "has finished epochs" in out) == (2, True)
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 2
    (tmp_path / "index.json").rename(lost)
    assert al("train", "--resume", str(run), capsys=capsys)[0] == 0


@pytest.mark.parametrize("name", ["config.json", "preprocessing.json", "result.json"])
def test_a_changed_file_of_a_run_is_noticed(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained(tmp_path)
    values = json.loads((run / name).read_text())
    (run / name).write_text(json.dumps({**values, "seconds": 1, "mean": [0, 0], "inputs": {}}))
    command = ("train", "--resume", str(run)) if name == "result.json" else ("info", str(run))
    code, out = al(*command, capsys=capsys)
    assert (code, f"{name} has changed since it was saved" in out) == (2, True)


def test_a_pipe_in_a_run_does_not_hang_info(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained(tmp_path)
    (run / "preprocessing.json").unlink()
    os.mkfifo(run / "preprocessing.json")
    code, out = al("info", str(run), capsys=capsys)
    assert (code, "is no regular file" in out) == (2, True)


LONG_NAME = "n" * 300
COMMANDS = {
    "info": ("info", "RUN"), "predict": ("predict", "RUN", "1,2"),
    "export": ("export", "RUN", "HUB"),
    "reproduce": ("reproduce", "table1", "--vectors", "glove.txt", "--dry-run"),
}  # fmt: skip


def test_a_full_output_is_one_message_of_every_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, full = trained(tmp_path), tmp_path / "full"
    monkeypatch.chdir(tmp_path)  # where no rows of our ledger are to be read
    for name, command in COMMANDS.items():
        folder = full / name
        folder.mkdir(parents=True)
        (folder / "stdout").symlink_to("/dev/full")
        places = {"RUN": str(run), "HUB": str(folder / "hub")}
        process = start(*(places.get(word, word) for word in command), folder=folder)
        _, err = process.communicate()
        assert (process.returncode, "No space left on device" in err) == (2, True), (name, err)
        assert "Traceback" not in err


@pytest.mark.parametrize("place", [LONG_NAME, "/proc/nowhere"])
def test_what_the_system_refuses_is_one_message_of_every_command(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, where = str(trained(tmp_path)), str(tmp_path / place)
    for command in (
        ("info", where), ("evaluate", where), ("predict", where, "1,2"), ("export", where, "x"),
        ("predict", run, "1,2", "--output", f"{where}/x"), ("export", run, where),
        ("train", "--run-folder", where), ("train", "--resume", run, "--ledger", f"{where}/x"),
        ("reproduce", "table1", "--ledger", f"{where}/x", "--vectors", "glove.txt"),
        ("report", "--ledger", f"{where}/x"), ("runs", where),
    ):  # fmt: skip
        assert al(*command, capsys=capsys)[0] == 2, command


def test_terminals_without_utf_8_show_escapes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, terminal = trained(tmp_path, ("große", "kleine")), io.BytesIO()
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", io.TextIOWrapper(terminal, encoding="ascii"))
        code, err = al("predict", str(run), "1,2", "6,1", "--json", capsys=capsys)
        sys.stdout.flush()
        printed = terminal.getvalue().decode("ascii")
    assert (code, "gro\\u00dfe" in printed) == (0, True), err


def _lacks(error: Exception | Warning) -> None:
    if isinstance(error, Warning):
        warnings.warn(error, stacklevel=2)
    else:
        raise error


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (RuntimeError("can't start new thread"), 2, "Error: the machine lacks memory or threads"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 2, "Error: the machine lacks"),
        (MemoryError("Unable to allocate 8. EiB"), 2, "Error: Unable to allocate 8. EiB does not"),
        (OSError(28, "No space left on device"), 2, "Error: [Errno 28] No space left on device;"),
        (UserWarning("overflow in a library"), 0, "Warning: overflow in a library"),
        (RuntimeWarning("overflow in a library"), 0, "Warning: overflow in a library"),
    ],
    ids=str,
)
def test_what_libraries_raise_or_warn_of_is_one_line(
    error: Exception | Warning,
    code: int,
    told: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("associated_learning.cli.main.app", lambda: _lacks(error))
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        found, out = al(capsys=capsys)
    assert (found, out.startswith(told)) == (code, True), out


def wait_for(process: Program, path: Path, epochs: int) -> None:
    while not path.exists() or path.read_text().count("\n") < epochs:
        assert process.returncode is None, process.printed()
        time.sleep(0.02)


LONG = ("--epochs", "100000", "--hidden", "8", "--threads", "1", "--quiet", "--patience", "0")


def test_a_second_training_in_a_folder_is_told_of_the_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    first = start("train", *LONG, "--run-folder", str(run), folder=tmp_path / "first")
    wait_for(first, run / "metrics.jsonl", 1)
    code, out = al("train", *LONG, "--run-folder", str(run), capsys=capsys)
    first.kill()
    assert code == 2
    assert f"is being trained by process {first.pid} on" in out
    # the lock of a killed one is free
    second = start("train", "--resume", str(run), "--quiet", folder=tmp_path / "second")
    wait_for(second, run / "metrics.jsonl", 3)
    second.kill()


@pytest.mark.parametrize("deleted", [True, False])
def test_a_folder_that_goes_away_is_noticed_within_an_epoch(deleted: bool, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = start("train", *LONG, "--run-folder", str(run), folder=tmp_path / "first")
    wait_for(process, run / "metrics.jsonl", 2)
    run.rename(tmp_path / "renamed")
    if deleted:
        shutil.rmtree(tmp_path / "renamed")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    told = " ".join(err.split())
    assert "was deleted or renamed while the run trained in it" in told
    assert "was saved under its old name all the same" in told
    again = start("train", "--resume", str(run), "--quiet", folder=tmp_path / "again")
    wait_for(again, run / "metrics.jsonl", 3)
    again.kill()


@pytest.mark.parametrize(
    "option", ["--batch-size", "--limit-train", "--epochs", "--seed", "--hidden"]
)
def test_numbers_beyond_64_bits_are_refused(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = al("train", option, "9" * 20, "--run-folder", str(tmp_path / "run"), capsys=capsys)
    assert (code, f"is {'9' * 20}; expected" in out) == (2, True)
