"""The flow of DESIGN: imports point one way, there is no cycle, and no drawer."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest

import associated_learning

ROOT = Path(associated_learning.__file__).parent
# Each folder, or file of the root, may import what stands above it, and its own.
ORDER = [
    "errors",
    "losses",
    "targets",
    "tensors",
    "models",
    "layer",
    "network",
    "update",
    "backprop",
    "conversion",
    "state",
    "data",
    "inference",
    "pipeline",
    "training",
    "verification",
    "runs",
    "cli",
]
# The same inside of the folders that have folders; what is not named imports all that is.
INSIDE = {
    "conversion": ["tracing", "cutting", "slicing"],
    "data": ["tables", "labels", "texts", "images", "reading", "loading"],
    "pipeline": ["timeline", "planning", "threads", "processes"],
}
DISTRIBUTED = {"pipeline", "state"}
EXTRAS = {"runs", "cli", "data"}


def group_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


@functools.cache
def imports_of(path: Path) -> frozenset[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return frozenset(found)


def modules() -> list[Path]:
    return [path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py"]


def ours(path: Path) -> set[str]:
    return {name for name in imports_of(path) if name.startswith("associated_learning.")}


def test_the_root_is_the_paper_and_folders_for_all_else() -> None:
    entries = {path.name for path in ROOT.iterdir()} - {"__pycache__"}
    assert len(entries) <= 20
    assert {name.removesuffix(".py") for name in entries} == {*ORDER, "__init__", "py.typed"}


def test_imports_point_up_the_list() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules()
        for name in ours(path)
        if ORDER.index(name.split(".")[1]) > ORDER.index(group_of(path))
    ]
    assert wrong == []


@pytest.mark.parametrize("folder", INSIDE)
def test_imports_point_up_the_list_inside_of_folders(folder: str) -> None:
    order = INSIDE[folder]
    wrong = []
    for path in (ROOT / folder).rglob("*.py"):
        own = path.relative_to(ROOT / folder).parts[0].removesuffix(".py")
        for name in ours(path):
            room = [*name.split("."), "", ""][2]
            if name.split(".")[1] == folder and own in order and room in order:
                wrong += [f"{path} imports {name}"] * (order.index(room) > order.index(own))
    assert wrong == []


def test_the_package_does_without_the_reproduction() -> None:
    users = [path for path in modules() if any("reproduction." in n for n in imports_of(path))]
    assert [path.relative_to(ROOT).as_posix() for path in users] == ["cli/reproduction.py"]


def test_no_cycles_between_modules() -> None:
    edges = {
        "associated_learning." + ".".join(path.relative_to(ROOT).with_suffix("").parts): {
            name for name in imports_of(path) if name.startswith("associated_learning.")
        }
        for path in modules()
    }
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path, name))
        if name in done or name not in edges:
            return
        for other in edges[name]:
            visit(other, (*path, name))
        done.add(name)

    for name in edges:
        visit(name, ())


def test_distributed_stays_inside_the_pipeline() -> None:
    users = {group_of(path) for path in modules() if "torch.distributed" in imports_of(path)}
    assert users <= DISTRIBUTED


def test_no_drawers() -> None:
    drawers = {"utils", "util", "misc", "helpers", "helper", "common"}
    assert not {path.stem for path in modules()} & drawers
