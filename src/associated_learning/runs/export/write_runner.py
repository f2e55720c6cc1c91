"""The runner of an export as one file, to be written beside it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from associated_learning.errors import InputError
from associated_learning.state.files import replaced_file

__all__ = ["runner_beside", "runner_source", "write_runner"]

_PARTS = Path(__file__).parent / "runner"
_JOINT = "from associated_learning."


def runner_source(kind: str) -> str:
    """Return the runner for inputs of a kind: Python that needs neither torch nor this library.

    Args:
        kind: "text", "subword", "table", "image" or "masks".

    Example:
        >>> source = runner_source("image")
        >>> "associated_learning" in source, len(source.splitlines()) <= 60
        (False, True)
    """
    answers = "masks" if kind == "masks" else "model"
    kinds, prepare = _parted("image" if kind == "masks" else kind)
    imports, model = _parted(answers)
    lines = {line for line in (*kinds, *imports) if not line.startswith(_JOINT)}
    theirs = {line for line in lines if line.split()[1] not in sys.stdlib_module_names}
    groups = ["\n".join(sorted(group, key=_order)) for group in (lines - theirs, theirs)]
    return "\n\n".join([_first_line(answers), *groups]) + f"\n\n\n{prepare}\n\n\n{model}\n"


def _parted(name: str) -> tuple[list[str], str]:
    """Return a part's imports, and what follows them."""
    text = (_PARTS / f"{name}.py").read_text(encoding="utf-8")
    imports = re.findall("^(?:import|from) .*", text, re.MULTILINE)
    return imports, text.rpartition(imports[-1])[2].strip()


def _order(line: str) -> tuple[bool, str]:
    return line.startswith("from "), line


def runner_beside(path: Path) -> Path:
    """Return where the runner of an ONNX file lies.

    Raises:
        InputError: Another file is there.
    """
    runner = path.with_name(f"{path.stem}_runner.py")
    ours = tuple(map(_first_line, ("model", "masks")))
    if runner.exists() and not runner.read_text(encoding="utf-8").startswith(ours):
        raise InputError(
            f"{runner} exists and is no runner of an export; move it, or name another file."
        )
    return runner


def write_runner(path: Path, kind: str) -> Path:
    """Write the runner of an ONNX file beside it, and return where."""
    runner = runner_beside(path)
    with replaced_file(runner) as temporary:
        temporary.write_text(runner_source(kind), encoding="utf-8")
    return runner


def _first_line(answers: str) -> str:
    return (_PARTS / f"{answers}.py").read_text(encoding="utf-8").splitlines()[0]
