"""Sixteen data sets as a newcomer has them: own files and folders, and named ones in part.

Tables come from scikit-learn, texts of many classes from the docstrings of installed packages, the
rest from named data sets. Half of them (``TUNED``) chose the defaults; the others judged them once.
"""

from __future__ import annotations

import ast
import csv
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn import datasets
from sklearn.model_selection import train_test_split

from associated_learning.data.reading.by_name_or_path import read_named

__all__ = ["SETS", "TUNED", "FirstRun"]


class FirstRun(NamedTuple):
    """A data set and the model that a newcomer would name.

    Attributes:
        model: The network family.
        write: Writes the user's own data into a folder, with a name for ``--data`` and maybe
            ``--test-data``; None for a named data set.
        named: The named data set.
        limit: ``--limit-train``.
    """

    model: str
    write: Callable[[Path, str | None], None] | None = None
    named: str | None = None
    limit: int | None = None


def _table(make: Callable[[], tuple[Any, Any]], share: float = 0.4) -> Callable[..., None]:
    """Return what writes a table as ``train.csv`` and ``test.csv``."""

    def write(folder: Path, data_root: str | None) -> None:
        x, y = make()
        parts = train_test_split(x, y, test_size=share, random_state=0, stratify=y)
        _write_rows(folder / "train.csv", parts[0], parts[2])
        _write_rows(folder / "test.csv", parts[1], parts[3])

    return write


def _write_rows(path: Path, x: Any, y: Any) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([f"x{i}" for i in range(x.shape[1])] + ["label"])
        writer.writerows([*row, f"class {label}"] for row, label in zip(x, y, strict=True))


def _diabetes() -> tuple[Any, Any]:
    x, y = datasets.load_diabetes(return_X_y=True)
    return x, np.digitize(y, np.quantile(y, [1 / 3, 2 / 3]))


def _imbalanced() -> tuple[Any, Any]:
    return datasets.make_classification(  # type: ignore[no-any-return]
        3000, 20, n_informative=8, n_classes=3, weights=[0.85, 0.1, 0.05], random_state=0
    )


def _nonlinear() -> tuple[Any, Any]:
    return datasets.make_gaussian_quantiles(  # type: ignore[no-any-return]
        n_samples=1000, n_features=5, n_classes=2, random_state=0
    )


def _photos(folder: Path, data_root: str | None) -> None:
    """Write 2,000 training and 1,000 test pictures of Fashion-MNIST, a folder a class."""
    splits = read_named("fashion_mnist", data_root=data_root).splits
    names = read_named("fashion_mnist", data_root=data_root).label_names
    for split, count in (("train", 2000), ("test", 1000)):
        inputs, labels = splits[split].inputs, splits[split].labels.tolist()
        for number in range(count):
            place = folder / split / names[labels[number]].replace("/", "-")
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{number}.png").write_bytes(inputs[number])


def _openings(name: str, count: int) -> Callable[..., None]:
    """Return what writes the first twelve words of so many training and test texts as CSV."""

    def write(folder: Path, data_root: str | None) -> None:
        read = read_named(name, data_root=data_root)
        for split in ("train", "test"):
            inputs, labels = read.splits[split].inputs, read.splits[split].labels
            pool, _ = train_test_split(
                range(len(inputs)), train_size=count, random_state=0, stratify=labels
            )
            rows = [(_opening(inputs[i]), read.label_names[int(labels[i])]) for i in pool]
            _write_texts(folder / f"{split}.csv", rows)

    return write


def _opening(text: str) -> str:
    return " ".join(text.split()[:12])


def _write_texts(path: Path, rows: Sequence[tuple[str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *rows])


_PACKAGES = ("matplotlib", "networkx", "numpy", "pandas", "scipy", "sklearn", "sympy", "torch")


def _docstrings(depth: int, classes: int, each: int) -> Callable[..., None]:
    """Return what writes first sentences of docstrings, labelled by package or module."""

    def write(folder: Path, data_root: str | None) -> None:
        groups: dict[str, list[str]] = {}
        for package in _PACKAGES:
            for module, sentence in _sentences(package):
                groups.setdefault(".".join(module.split(".")[:depth]), []).append(sentence)
        unique = {name: list(dict.fromkeys(texts)) for name, texts in groups.items()}
        largest = sorted(unique, key=lambda name: (-len(unique[name]), name))[:classes]
        rows = [(text, name) for name in largest for text in _spread(unique[name], each)]
        train, test = train_test_split(
            rows, test_size=0.3, random_state=0, stratify=[name for _, name in rows]
        )
        for split, part in (("train", train), ("test", test)):
            _write_texts(folder / f"{split}.csv", part)

    return write


def _spread(texts: Sequence[str], most: int) -> Sequence[str]:
    return texts[:: max(1, -(-len(texts) // most))]


def _sentences(package: str) -> Iterator[tuple[str, str]]:
    """Yield (module, first line of a docstring) of all that a package defines in public."""
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    root = Path(spec.origin).parent
    for path in sorted(root.rglob("*.py")):
        names = path.relative_to(root).with_suffix("").parts
        if any(name.startswith(("_", "test")) and name != "__init__" for name in names):
            continue
        module = ".".join([package, *(name for name in names if name != "__init__")])
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name[0] != "_":
                line = (ast.get_docstring(node) or "").strip().partition("\n")[0]
                if len(line.split()) >= 4:
                    yield module, line


SETS = {
    "iris": FirstRun("mlp", _table(lambda: datasets.load_iris(return_X_y=True))),
    "digits table": FirstRun("mlp", _table(lambda: datasets.load_digits(return_X_y=True))),
    "diabetes in three": FirstRun("mlp", _table(_diabetes)),
    "shells": FirstRun("mlp", _table(_nonlinear)),
    "photos": FirstRun("cnn", _photos),
    "headlines": FirstRun("transformer", _openings("ag_news", 1000)),
    "encyclopedia": FirstRun("bilstm", _openings("dbpedia_14", 700)),
    "8 packages": FirstRun("transformer", _docstrings(1, 8, 200)),
    "wine": FirstRun("mlp", _table(lambda: datasets.load_wine(return_X_y=True))),
    "breast cancer": FirstRun("mlp", _table(lambda: datasets.load_breast_cancer(return_X_y=True))),
    "imbalanced": FirstRun("mlp", _table(_imbalanced)),
    "fashion 60,000": FirstRun("mlp", named="fashion_mnist"),
    "digits": FirstRun("cnn", named="digits"),
    "objects": FirstRun("cnn", named="cifar10", limit=1500),
    "reviews": FirstRun("bilstm", named="sst2", limit=1500),
    "77 modules": FirstRun("transformer", _docstrings(2, 77, 25)),
}
TUNED = tuple(SETS)[:8]  # decided before anything was trained; the other half judges
