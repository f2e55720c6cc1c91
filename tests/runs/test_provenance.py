"""Which code a run was made by: its commit, and whether any of it was changed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import associated_learning as al

PACKAGE = Path(al.__file__).parent


def test_a_change_anywhere_in_the_package_marks_the_commit(tmp_path: Path) -> None:
    """In a checkout of its own, read as a program would read it."""
    copy = tmp_path / "src" / "associated_learning"
    kept = ("errors.py", "update.py", "runs/folder/provenance.py")
    for name in kept:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PACKAGE / name, copy / name)
    git = ["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x@x"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "one"]):
        subprocess.run([*git, *command], check=True)
    head = subprocess.run(
        [*git, "rev-parse", "HEAD"], capture_output=True, text=True
    ).stdout.strip()
    code = (
        "import importlib.util, sys\n"
        f"spec = importlib.util.spec_from_file_location('p', {str(copy / kept[-1])!r})\n"
        "module = importlib.util.module_from_spec(spec)\n"
        "sys.modules['p'] = module\n"
        "spec.loader.exec_module(module)\n"
        "print(module._commit())"
    )

    def told() -> str:
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        return ran.stdout.strip()

    assert told() == head
    with (copy / "update.py").open("a") as file:
        file.write("# changed\n")
    assert told() == f"{head}+"
