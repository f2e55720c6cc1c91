"""The flow of DESIGN: imports point one way, there is no cycle, and no drawer."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import associated_learning

ROOT = Path(associated_learning.__file__).parent
# A module may import what stands in its own row or above it; cycles are looked for apart.
ORDER = [
    {
        "errors",
        "modes",
        "sequence",
        "keyed",
        "structure",
        "files",
        "generators",
        "interception",
        "drawing",
    },
    {"data", "models"},
    {"targets", "losses"},
    {"layer"},
    {"network"},
    {
        "snapshot",
        "backprop",
        "encoders",
        "parameters",
        "memory",
        "loader",
        "history",
        "inference",
        "optim",
    },
    {"interrupt"},
    {
        "branches",
        "conversion",
        "step",
        "checkpoint",
        "callbacks",
        "schedules",
        "target_warmup",
        "exits",
        "export",
    },
    {"pipeline"},
    {"feed", "growth", "kept", "recipe"},
    {"training"},
    {"activation_cache", "progress", "trainer", "verification"},
    {"equivalence", "growth_view", "stage_trace"},
    {"experiments"},
    {"cli"},
]
RANK = {name: rank for rank, group in enumerate(ORDER) for name in group}
DISTRIBUTED = {"pipeline", "checkpoint"}


def group_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def modules() -> list[Path]:
    return [path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py"]


def test_every_module_has_its_place() -> None:
    assert {group_of(path) for path in modules()} == set(RANK)


def test_imports_point_one_way() -> None:
    wrong = []
    for path in modules():
        for name in imports_of(path):
            parts = name.split(".")
            if parts[0] != "associated_learning" or len(parts) == 1:
                continue
            own, other = group_of(path), parts[1]
            apart = {own, other} == {"data", "models"}
            if RANK[other] > RANK[own] or apart:
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert wrong == []


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


def test_importing_is_light() -> None:
    """Data sets, plots and logs cost import time only when they are used."""
    heavy = [
        "datasets",
        "sklearn",
        "kornia",
        "matplotlib",
        "tensorboard",
        "pandas",
        "rich",
        "transformers",
    ]
    code = f"import sys, associated_learning; print([m for m in {heavy} if m in sys.modules])"
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert printed.strip() == "[]"
