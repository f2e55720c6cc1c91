"""The documentation says what is true: its code runs, its commands parse, its names exist."""

from __future__ import annotations

import contextlib
import csv
import functools
import inspect
import io
import itertools
import json
import re
import runpy
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

import associated_learning as al
from associated_learning.cli.main import app

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "associated_learning"
PAGES = [
    "README.md", "docs/idea.md", "docs/guide.md", "docs/convert.md", "docs/pipeline.md",
    "docs/larger_than_memory.md", "docs/integrations.md", "docs/tokens.md",
    "docs/language_models.md",
]  # fmt: skip
COMMAND_PAGES = [
    *PAGES, "docs/tutorial.md", "docs/production.md", "docs/results.md", "docs/reproduce.md",
]  # fmt: skip
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
ROLE = re.compile(r"\{py:obj\}`(?:[^`<]*<|~)?([\w.]+)>?`")


def blocks(page: str, *languages: str) -> list[str]:
    """Return the blocks of a page in some languages."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [match[2] for match in FENCE.finditer(text) if match[1] in languages]


def scripts(page: str) -> Iterator[tuple[str, str | None]]:
    """Yield the Python blocks of a page, each with the text that stands right below it, if any."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for fence, below in itertools.pairwise([*FENCE.finditer(text), None]):
        if fence is None or fence[1] != "python":
            continue
        shown = None
        if (
            below is not None
            and below[1] == "text"
            and not text[fence.end() : below.start()].strip()
        ):
            shown = below[2]
        # lines before the code keep the line numbers of the page
        yield "\n" * text.count("\n", 0, fence.start(2)) + fence[2], shown


def commands() -> Iterator[list[str]]:
    """Yield the words of every `al ...` in the shell blocks of the pages."""
    for page in COMMAND_PAGES:
        for block in blocks(page, "bash", "sh", "console"):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line.removeprefix("$ "), comments=True)
                if words[:1] == ["al"]:
                    yield words[1:]


def symbol(path: str) -> Any:
    """Return what a dotted path names."""
    parts = path.split(".")
    for end in range(len(parts), 0, -1):
        try:
            module = __import__(".".join(parts[:end]), fromlist=["_"])
        except ModuleNotFoundError:
            continue
        return functools.reduce(getattr, parts[end:], module)
    raise ModuleNotFoundError(path)


def map_rows() -> list[tuple[str, str, str]]:
    """Return the rows (paper item, symbol, file) of the map from the paper to the code."""
    lines = (ROOT / "docs" / "paper_to_code.md").read_text(encoding="utf-8").splitlines()
    cells = [tuple(c.strip() for c in line.strip("|").split("|")) for line in lines if "|" in line]
    return [row for row in cells if len(row) == 3][2:]  # type: ignore[misc]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path


@pytest.mark.parametrize("page", PAGES)
def test_code_of_a_page_runs(page: str, folder: Path) -> None:
    namespace: dict[str, Any] = {"__name__": "page"}
    for code, shown in scripts(page):
        if page == "README.md":  # whose blocks are copied one by one
            namespace = {"__name__": "page"}
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, str(ROOT / page), "exec"), namespace)
        assert shown is None or printed.getvalue() == shown


@pytest.fixture
def walked(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[str], dict[str, str]]:
    """Run a page's commands and blocks in their order; give what each command printed."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.path_importer_cache, ".", raising=False)  # of another folder

    def walk(page: str) -> dict[str, str]:
        namespace: dict[str, Any] = {"__name__": "page"}
        told: dict[str, str] = {}
        for language, block in FENCE.findall((ROOT / page).read_text(encoding="utf-8")):
            if language == "python":
                exec(compile(block, page, "exec"), namespace)
                continue
            for line in block.splitlines() if language == "bash" else ():
                words = shlex.split(line)
                if words[0] == "python":
                    monkeypatch.setattr(sys, "argv", words[1:])
                    runpy.run_path(words[1], run_name="__main__")
                else:
                    typer.main.get_command(app).main(words[1:], standalone_mode=False)
                told[line] = capsys.readouterr().out
        return told

    return walk


def test_the_way_to_production_runs(walked: Callable[[str], dict[str, str]]) -> None:
    """The runner and `al predict` say the same."""
    told = walked("docs/production.md")
    by_runner = json.loads(told["python digits_runner.py seven.png"])
    by_run = json.loads(told["al predict digits-run seven.png --depth 2 --json"])
    assert by_runner["label"] == by_run["label"] == "7"


# the runner is a script that reads its file and ends
@pytest.mark.filterwarnings("ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning")
def test_the_tutorial_runs(walked: Callable[[str], dict[str, str]]) -> None:
    """The runner and `al predict` find the grapes of three wines."""
    told = walked("docs/tutorial.md")
    by_runner = map(json.loads, told["python wine_runner.py new.csv"].splitlines())
    with Path("answers.csv").open(encoding="utf-8") as file:
        by_run = [row["prediction"] for row in csv.DictReader(file)]
    assert [answer["label"] for answer in by_runner] == by_run
    assert by_run == ["Nebbiolo", "Grignolino", "Barbera"]


def test_pages_have_code_and_show_what_it_prints() -> None:
    assert len(list(scripts("docs/guide.md"))) > 10
    assert len(list(scripts("docs/idea.md"))) >= 2
    assert sum(shown is not None for _, shown in scripts("docs/convert.md")) > 5


def test_commands_of_the_pages_parse() -> None:
    group: Any = typer.main.get_command(app)
    names = set()
    for name, *arguments in commands():
        names.add(name)
        group.commands[name].make_context(name, list(arguments))  # raises a usage error
    assert names == set(group.commands)


def test_every_row_of_the_map_exists() -> None:
    rows = map_rows()
    assert len(rows) > 30
    for item, symbols, file in rows:
        found = [symbol(path) for path in ROLE.findall(symbols)]
        assert found, item
        assert Path(inspect.getfile(found[0])) == (SOURCE / file.strip("`")).resolve(), item
        for keyword in re.findall(r"`(\w+)=`", symbols):
            assert keyword in inspect.signature(found[0]).parameters, item


def test_every_keyword_of_the_variants_exists() -> None:
    text = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| [^|]+\| `(\w+)=[^|]+\|", text.split("## Variants")[1], re.MULTILINE)
    assert len(rows) > 8
    assert set(rows) <= set(inspect.signature(al.al_form).parameters)


def test_names_in_the_pages_exist() -> None:
    for page in (ROOT / "docs").glob("*.md"):
        for path in ROLE.findall(page.read_text(encoding="utf-8")):
            assert symbol(path) is not None


def test_the_reference_names_everything_public() -> None:
    table = set(ROLE.findall((ROOT / "docs" / "api.md").read_text(encoding="utf-8")))
    assert {symbol(path) for path in table} == {getattr(al, name) for name in al.__all__}
    topics = [path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "api").glob("*.md")]
    assert len(topics) > 10
    for module in re.findall(r"automodule:: (\S+)", "".join(topics)):
        assert symbol(module).__all__


def test_tests_that_pages_name_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    promises = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text + promises)
    assert len(named) >= 60
    laws = [line for line in text.splitlines() if line.startswith("| **")]
    assert len(laws) > 15
    for law in laws:  # each with its test and how long that takes
        assert re.search(r"`tests/[\w/]+\.py::\w+` \| (?:< )?[\d.]+ \|$", law), law
    for file, name in named:
        assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8"), name


def test_citation_and_changelog_are_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["version"] == al.__version__
    assert [a["family-names"] for a in citation["preferred-citation"]["authors"]] == [
        "Wu",
        "Lin",
        "Chen",
        "Chen",
    ]
    assert f"## [{al.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [path.stem for path in sorted((ROOT / "examples").glob("*.py"))])
def test_an_example_runs_and_learns(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runpy.run_path(str(ROOT / "examples" / f"{name}.py"), run_name="__main__")
    lines = [line for line in capsys.readouterr().out.splitlines() if "test accuracy" in line]
    scores = [float(score) for score in re.findall(r"\b[01]\.\d{3}\b", " ".join(lines))]
    assert len(scores) == 3
    assert min(scores) > 0.9
