"""What a plain install lacks: each optional import says which extra brings it."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

import associated_learning as al
import bare_install
from associated_learning.data import load, tokenize
from associated_learning.data.images.images import decode
from associated_learning.data.texts import tokenization
from associated_learning.errors import InputError, needs_extra
from associated_learning.inference.exits.calibration import chance_of_being_right
from associated_learning.inference.metrics.names import as_metric
from associated_learning.runs.plots import plot_curves
from associated_learning.runs.settings.config import RunConfig
from associated_learning.runs.tuning.search import search
from associated_learning.state.training_state import TrainingState
from associated_learning.training.adapters.loggers import MLflow
from associated_learning.training.callbacks import TensorBoard

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DISTRIBUTION = {
    "PIL": "pillow",
    "sklearn": "scikit-learn",
    "mlflow": "mlflow-skinny",
    "tokenizers": "transformers",
}


def packages(requirements: list[str]) -> set[str]:
    """Return the packages of requirements; extras of ours stand for what they bring."""
    found: set[str] = set()
    for requirement in requirements:
        name, extras = re.match(r"([\w.-]+)(?:\[(.*)\])?", requirement).groups()  # type: ignore[union-attr]
        if name == "associated-learning":
            for extra in extras.split(","):
                found |= packages(PROJECT["optional-dependencies"][extra])
        else:
            found.add(name)
    return found


def imports(tree: ast.AST, extra: str | None = None) -> Iterator[tuple[str, str | None]]:
    """Yield each imported package with the extra of the block that it stands in."""
    for node in ast.iter_child_nodes(tree):
        inside = extra
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.With):
            call = node.items[0].context_expr
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "needs_extra":
                inside = ast.literal_eval(call.args[0])
        if isinstance(node, ast.Import):
            yield from ((alias.name, inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, inside
        yield from imports(node, inside)


def test_each_import_beyond_a_plain_install_names_the_extra_that_brings_it() -> None:
    plain = packages(PROJECT["dependencies"]) | {"associated_learning", "reproduction"}
    plain = {name.replace("-", "_") for name in plain}
    wrong = []
    for path in (ROOT / "src").rglob("*.py"):
        if "runner" in path.parts:  # what runs beside an export, where this library is not
            continue
        for module, extra in imports(ast.parse(path.read_text(encoding="utf-8"))):
            package = "tensorboard" if module.endswith("tensorboard") else module.split(".")[0]
            if package in plain or package in sys.stdlib_module_names:
                continue
            wanted = PROJECT["optional-dependencies"].get(extra, [])
            if DISTRIBUTION.get(package, package) not in packages(wanted):
                wrong.append(f"{path.name} imports {module} under {extra}")
    assert wrong == []


def stop_words() -> None:
    tokenization._stop_words.cache_clear()
    tokenize("a", remove_stop_words=True)


def risk() -> None:
    from associated_learning.inference.exits.goals import RiskGoal

    RiskGoal().choose([], None, None)  # type: ignore[arg-type]


def signed_rank() -> None:
    from reproduction.report import comparison

    comparison.signed_rank([1.0] * 6)


def page() -> None:
    from reproduction.report.page import render_html

    render_html(None)  # type: ignore[arg-type]


def fresh(adapter: str) -> None:
    name = f"associated_learning.training.adapters.{adapter}"
    known = sys.modules.pop(name, None)
    try:
        importlib.import_module(name)
    finally:
        if known is not None:
            sys.modules[name] = known


HEAVY = {
    "datasets", "kornia", "matplotlib", "pandas", "rich", "sklearn", "tensorboard", "transformers",
}  # fmt: skip
LOGITS, RIGHT = torch.eye(2), torch.tensor([True, False])
CALLS: list[tuple[str, str, Callable[[], object]]] = [
    ("sklearn", "data", lambda: load("digits")),
    ("sklearn", "data", stop_words),
    ("sklearn", "exits", lambda: chance_of_being_right(LOGITS[0], RIGHT)),
    ("datasets", "data", lambda: load("films.csv", text_column="text", label_column="label")),
    ("PIL", "data", lambda: decode([b""], (1, 2, 2))),  # type: ignore[arg-type]
    ("matplotlib", "plots", lambda: plot_curves({}, Path("curves.png"))),
    ("scipy", "exits", risk),
    ("scipy", "reproduction", signed_rank),
    ("jinja2", "reproduction", page),
    (
        "tensorboard",
        "tensorboard",
        lambda: TensorBoard("logs").started(TrainingState(), epochs=1, batches=1),
    ),
    ("mlflow", "mlflow", MLflow),
    ("torchmetrics", "metrics", lambda: as_metric("f1", al.Classes(2))),
    ("optuna", "tune", lambda: search(RunConfig(), {}, None, trials=1, journal=Path("j"))),  # type: ignore[arg-type]
    ("sklearn", "sklearn", lambda: fresh("sklearn")),
    ("accelerate", "hf-trainer", lambda: fresh("transformers")),
    ("lightning", "lightning", lambda: fresh("lightning")),
]  # augment, export and hf have tests of their own, beside what they bring


@pytest.mark.parametrize(("package", "extra", "call"), CALLS)
def test_a_missing_package_is_named_with_its_extra(
    package: str,
    extra: str,
    call: Callable[[], object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    if package == "tensorboard":
        monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "films.csv").write_text("text,label\na,1\nb,0\n")
    expected = rf"needs the package {package}, which is not installed: pip .*learning\[{extra}\]'"
    with pytest.raises(InputError, match=expected):
        call()


def test_a_package_that_is_there_but_broken_is_told_apart() -> None:
    with (
        pytest.raises(InputError, match=r"package x, which cannot be imported \(no x\.so\)"),
        needs_extra("plots", "a picture"),
    ):
        raise ImportError("no x.so", name="x.y")


def test_without_any_extra_networks_are_converted_and_trained() -> None:
    """The same as `make bare`, but for the environment: what is optional is hidden.

    And importing is light: data sets, plots and logs cost import time only when they are used.
    """
    code = f"""
import sys
asked = set()
sys.addaudithook(lambda event, of: asked.add(of[0].split(".")[0]) if event == "import" else None)
sys.modules |= dict.fromkeys({bare_install.OPTIONAL})
import associated_learning
assert "torch" in asked and not asked & {HEAVY}, asked & {HEAVY}
import bare_install
bare_install.train()
"""
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent, check=True)


def test_a_run_does_without_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from associated_learning.runs import run
    from associated_learning.runs.settings.config import RunConfig

    monkeypatch.setattr(run, "can_plot", lambda: False)
    run.train_run(RunConfig(epochs=1, limit_train=100, hidden=8, latent=8), tmp_path / "run")
    assert (tmp_path / "run" / "result.json").exists()
    assert not (tmp_path / "run" / "plots").exists()
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(al.InputError, match=r"--trace needs the package matplotlib"):
        run.train_run(RunConfig(epochs=1, limit_train=100, trace=2), tmp_path / "traced")
