"""Which code a run was made by: its commit, and whether any of it was changed."""

from __future__ import annotations

import runpy
import shutil
import subprocess
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
    assert runpy.run_path(str(copy / kept[-1]))["_commit"]() == head
    with (copy / "update.py").open("a") as file:
        file.write("# changed\n")
    assert runpy.run_path(str(copy / kept[-1]))["_commit"]() == f"{head}+"
