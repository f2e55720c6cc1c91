"""Every speed and memory on record has its command, commit, hardware and raw rounds."""

from __future__ import annotations

import json
import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

import pytest
from scipy.stats import wilcoxon

from associated_learning.errors import InputError

ROOT = Path(__file__).parents[1]
SCRIPT = """
import json, sys
sys.path.insert(0, {benchmarks!r})
from timing import alternate
found = alternate({{"a": lambda: None, "b": lambda: None}}, rounds=3, warmup=0)
print(json.dumps({{"rounds": len(found["a"]), "arguments": sys.argv[1:]}}))
"""


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return what records a benchmark, which is a program; the recording itself is none."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")

    def run(script: str, *arguments: str) -> None:
        path = tmp_path / "bench.py"
        path.write_text(script.format(benchmarks=str(ROOT / "benchmarks")))
        program = str(ROOT / "benchmarks" / "record.py")
        command = ["--ledger", str(tmp_path / "ledger.jsonl"), str(path), *arguments]
        monkeypatch.setattr(sys, "argv", [program, *command])
        runpy.run_path(program, run_name="__main__")

    return run


def test_a_benchmark_is_recorded_with_its_rounds(
    record: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record(SCRIPT, "--only", "a", "--data-root", str(tmp_path))
    (line,) = (tmp_path / "ledger.jsonl").read_text().splitlines()
    row = json.loads(line)
    assert row["arguments"] == ["--only", "a", "--data-root", "PATH"]
    assert row["result"] == json.loads(capsys.readouterr().out.splitlines()[-1])
    (rounds,) = row["rounds"]
    assert {name: len(values) for name, values in rounds.items()} == {"a": 3, "b": 3}
    assert len(row["commit"]) >= 7
    assert row["hardware"]
    assert str(tmp_path) not in json.dumps({k: row[k] for k in row if k != "result"})


@pytest.mark.parametrize(
    ("script", "message"),
    [("raise SystemExit(3)", "ended with code 3"), ("print('done')", "expected a line of JSON")],
)
def test_what_fails_or_says_nothing_is_not_recorded(
    script: str, message: str, record: Callable[..., None], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        record(script)
    assert not (tmp_path / "ledger.jsonl").exists()


def test_rows_of_the_repository_name_no_machine() -> None:
    path = ROOT / "results" / "benchmarks.jsonl"
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        row = json.loads(line)
        assert (ROOT / "benchmarks" / row["benchmark"]).exists()
        assert not any(Path(argument).is_absolute() for argument in row["arguments"])
        assert row["commit"] != "unknown"
        assert not row["commit"].endswith("+")


def first_runs(seeds: int, *, association: str | None = None) -> dict[str, dict[str, list[float]]]:
    """Return the accuracies of AL and BP on each set, of AL by its default or another loss."""
    path = ROOT / "results" / "benchmarks.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {
        name: values
        for row in rows
        if row["benchmark"] == "first_run/main.py" and row["result"]["seeds"] == seeds
        if ((association or "--association") in row["arguments"]) == bool(association)
        for name, values in row["result"]["accuracies"].items()
    }


@pytest.mark.parametrize("seeds", [3, 10])
def test_the_tables_of_first_runs_are_the_benchmarks(seeds: int) -> None:
    """Mean, deviation and difference of every set stand in the results as they were measured."""
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    found = first_runs(seeds)
    assert len(found) == {3: 16, 10: 7}[seeds]
    for name, of_methods in found.items():
        al, bp = of_methods["al"], of_methods["bp"]
        spreads = [f"{mean(values):.1f} ± {stdev(values):.1f}" for values in (al, bp)]
        end = f"| {' | '.join(spreads)} | {mean(al) - mean(bp):+.1f} |"
        assert any(
            line.startswith(f"| {name} |") and line.endswith(end) for line in page.splitlines()
        ), f"{name}: {end}"


def test_what_the_judging_sets_tell_is_said_with_its_chance() -> None:
    """Mean, median and p-value of the eight sets that had no say in the defaults."""
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    judging = re.findall(r"^\| ([^|]+) \| \w+ \| judging \|", page, re.MULTILINE)
    found = first_runs(3)
    differences = [mean(found[name]["al"]) - mean(found[name]["bp"]) for name in judging]
    assert len(differences) == 8
    told = " ".join(page.split())
    assert f"it is {mean(differences):.2f} ahead" in told
    assert f"the median is {median(differences):.2f}" in told
    assert f"has p = {wilcoxon(differences).pvalue:.2f}" in told


def test_the_default_loss_of_first_runs_is_that_of_the_tuning_texts() -> None:
    """Contrast against Equation 3's squared error, as the page tells it."""
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    squared, default = first_runs(3, association="squared"), first_runs(3)
    means = {name: (mean(default[name]["al"]), mean(of["al"])) for name, of in squared.items()}
    for name, (one, other) in means.items():
        assert f"| {name} | {one:.1f} | {other:.1f} |" in page
    assert mean(one for one, _ in means.values()) > mean(other for _, other in means.values())


def test_the_tables_of_local_losses_are_the_benchmarks() -> None:
    """Each row of its README, and each figure of the study, is the last of its method and task."""
    found: dict[str, dict[str, Any]] = {"texts": {}, "images": {}}
    for line in (ROOT / "results" / "benchmarks.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["benchmark"] == "local_losses/main.py":
            result = row["result"]
            found[result["task"]] |= {k: v for k, v in result.items() if isinstance(v, dict)}
    readme = (ROOT / "benchmarks" / "local_losses" / "README.md").read_text(encoding="utf-8")
    study = (ROOT / "docs" / "study.md").read_text(encoding="utf-8")
    texts, images = readme.split("\n## Texts")[1].split("\n## Images")
    for page, of_task in ((texts, found["texts"]), (images, found["images"])):
        rows = re.findall(r"^\| ([a-z][^|]*) \| (\d[^|]*) \|", page, re.MULTILINE)
        assert len(rows) > 15
        for name, full in rows:
            assert full == f"{of_task[name]['full']:.2f} ± {of_task[name]['full_deviation']:.2f}"
    told = {
        f"{v['full']:.2f} ± {v['full_deviation']:.2f}" for of in found.values() for v in of.values()
    }
    section = study.split("## What looks further than one layer")[1].split('best exit" and')[0]
    figures = re.findall(r"^\| [^|]+ \| (\d[^|]*|) \| (\d[^|]*|) \|", section, re.MULTILINE)
    assert len(figures) > 20
    assert {one.strip() for pair in figures for one in pair if one.strip()} <= told
