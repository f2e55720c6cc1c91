"""Every speed and memory on record has its command, commit, hardware and raw rounds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SCRIPT = """
import json, sys
sys.path.insert(0, {benchmarks!r})
from timing import alternate
found = alternate({{"a": lambda: None, "b": lambda: None}}, rounds=3, warmup=0)
print(json.dumps({{"rounds": len(found["a"]), "arguments": sys.argv[1:]}}))
"""


def record(folder: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = folder / "bench.py"
    path.write_text(script.format(benchmarks=str(ROOT / "benchmarks")))
    command = [sys.executable, str(ROOT / "benchmarks" / "record.py")]
    command += ["--ledger", str(folder / "ledger.jsonl"), str(path), *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_a_benchmark_is_recorded_with_its_rounds(tmp_path: Path) -> None:
    ran = record(tmp_path, SCRIPT, "--only", "a", "--data-root", str(tmp_path))
    assert ran.returncode == 0, ran.stderr
    (line,) = (tmp_path / "ledger.jsonl").read_text().splitlines()
    row = json.loads(line)
    assert row["arguments"] == ["--only", "a", "--data-root", "PATH"]
    assert row["result"] == json.loads(ran.stdout.splitlines()[-1])
    (rounds,) = row["rounds"]
    assert {name: len(values) for name, values in rounds.items()} == {"a": 3, "b": 3}
    assert len(row["commit"]) >= 7
    assert row["hardware"]
    assert str(tmp_path) not in json.dumps({k: row[k] for k in row if k != "result"})


def test_what_fails_or_says_nothing_is_not_recorded(tmp_path: Path) -> None:
    for script in ("raise SystemExit(3)", "print('done')"):
        ran = record(tmp_path, script)
        assert ran.returncode != 0
        assert not (tmp_path / "ledger.jsonl").exists()


def test_rows_of_the_repository_name_no_machine() -> None:
    path = ROOT / "results" / "benchmarks.jsonl"
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        row = json.loads(line)
        assert (ROOT / "benchmarks" / row["benchmark"]).exists()
        assert not any(Path(argument).is_absolute() for argument in row["arguments"])
        assert row["commit"] != "unknown"
        assert not row["commit"].endswith("+")
