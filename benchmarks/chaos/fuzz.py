"""Commands with random options, and with files of random content."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from random import Random

from tally import Tally

from associated_learning.runs.settings.config import RunConfig
from commands import run_command

__all__ = ["fuzz_once"]

_VALUES = (
    "-1", "0", "1", "2", "7", "1000000", "99999999999999999999", "-99999999999999999999", "0.5",
    "1e400", "-1e400", "nan", "inf", "1e-320", "", " ", "x", "x" * 300,
    "é漢😀", "\x1b[31m", "[red]",
    "[/]", "/dev/null", "/dev/full", "/dev/zero", "/", ".", "..", "~", "a\nb", "al", "bp", "mse",
    "cnn", "hf:bert", "hf:/dev/zero", "0,0", "1,1,1", "auto", "cuda", "cuda:99", "tpu", "meta",
    "true", "None", "$(true)", "%s%n",
)  # fmt: skip
_SMALL = ("--epochs", "1", "--limit-train", "60", "--threads", "1", "--quiet")
_WORDS = ("film", "good", "NA", "", "<", "<!--", '"', "'", ",", "\t", "1", "1e999", "nan", "-0",
          "漢", "\ufeff", "\u202e", "\x00", "9" * 40, "null", "[", "{}", "a" * 2000)  # fmt: skip
_SAFE = {"compile", "executor", "epochs"}  # slow, in need of several processes, or given already


def fuzz_once(folder: Path, random: Random, tally: Tally) -> None:
    """Run one command with random options or a random file in an empty folder."""
    tally.fuzzed += 1
    folder.mkdir(parents=True, exist_ok=True)
    command = random.choice((_options, _options, _table, _table, _lines, _run))(folder, random)
    tally.take(("fuzz", *map(repr, command)), run_command(command))


def _options(folder: Path, random: Random) -> list[str]:
    settings = [setting for setting in fields(RunConfig) if setting.name not in _SAFE]
    chosen = random.sample(settings, random.randint(1, 3))
    options = ["train", *_SMALL, "--run-folder", str(folder / "run")]
    for setting in chosen:
        name = "--" + setting.name.replace("_", "-")
        choices = setting.metadata["choices"]
        value = random.choice(choices if choices and random.random() < 0.5 else _VALUES)
        options += [name] if setting.type == "bool" else [f"{name}={value}"]
    return options


def _table(folder: Path, random: Random) -> list[str]:
    rows = [_row(random) for _ in range(random.randint(0, 40))]
    header = random.choice(("text,label", "a,b,label", "label", "label,label", "a", ""))
    if random.random() < 0.5:  # a table that is mostly good
        rows = [f"{random.random()},{i},{'xy'[i % 2]}" for i in range(40)]
        rows[random.randrange(40)] = _row(random)
        header = "a,b,label"
    path = folder / f"data{random.choice(('.csv', '.tsv', '.jsonl', '.json', '.parquet'))}"
    text = "\n".join([header, *rows]).replace(",", "\t" if path.suffix == ".tsv" else ",")
    if path.suffix.startswith(".json"):
        text = "\n".join(_object(random) for _ in range(30))
    path.write_bytes(text.encode("utf-8", errors="surrogatepass")[: random.choice((10**6, 57))])
    options = ["train", *_SMALL, "--data", str(path), "--run-folder", str(folder / "run")]
    return options + random.choice(([], ["--text-column", "text", "--model", "bilstm"]))


def _row(random: Random) -> str:
    return ",".join(random.choices(_WORDS, k=random.randint(0, 5)))


def _object(random: Random) -> str:
    keys = random.sample(("text", "label", "a", "b"), random.randint(0, 4))
    if random.random() < 0.7:
        keys = ["text", "label"]
    values = (1, 2, "x", "y", None, [1], {"k": 1}, 2**70, 1.5, True, "film " * 9, -1)
    return json.dumps({key: random.choice(values) for key in keys})


def _lines(folder: Path, random: Random) -> list[str]:
    path = folder / "ledger.jsonl"
    lines = [random.choice(("{}", "[" * 5000, "null", '{"seed": 1}', "\x00", "")) for _ in range(3)]
    path.write_text("\n".join(lines))
    return ["train", *_SMALL, "--run-folder", str(folder / "run"), "--ledger", str(path)]


def _run(folder: Path, random: Random) -> list[str]:
    """A folder that says that it is a run."""
    described: object = {"config": {}, "inputs": {"kind": "image", "num_classes": 10,
                         "shape": [1, 8, 8]}, "label_names": list("0123456789")}  # fmt: skip
    spoil: Callable[[], object] = lambda: random.choice((None, -1, 2**70, "x", [], {}, [2**40] * 3))  # noqa: E731
    assert isinstance(described, dict)
    target = random.choice((described, described["config"], described["inputs"]))
    names = [*target, "hidden", "num_layers", "latent", "model", "num_classes", "shape", "backbone"]
    target[random.choice(names)] = spoil()
    (folder / "config.json").write_text(json.dumps(described))
    preprocessing = {"kind": "image", "format": [1, 8, 8], "mean": [0.5], "std": [0.2]}
    (folder / "preprocessing.json").write_text(json.dumps(preprocessing))
    return [random.choice(("info", "evaluate", "predict")), str(folder)]
