"""The runner of an export as one file, to be written beside it."""

from __future__ import annotations

import re
import sys
import textwrap
from pathlib import Path

from associated_learning.errors import InputError
from associated_learning.state.files import replaced_file

__all__ = ["runner_beside", "runner_source", "write_runner"]

_PARTS = Path(__file__).parent / "runner"
_JOINT = "from associated_learning."
_READERS = {"standardised": "numbers", "label logits": "labels"}  # of outputs; else "classes"
_GIVEN = {"text": ["lines"], "subword": ["lines"]}  # parts that say what is asked; else its own
_CALL = "labels, shares = read(output, how)"
_OURS = re.compile('"""(Labels|Masks) .*without PyTorch')


def runner_source(kind: str, output: str = "logits") -> str:
    """Return the runner for inputs of a kind: Python that needs neither torch nor this library.

    Args:
        kind: "text", "subword", "table", "image" or "masks".
        output: What the graph's output is, by the name in an export's description.

    Example:
        >>> source = runner_source("table")
        >>> "associated_learning" in source, len(source.splitlines()) <= 60
        (False, True)
    """
    names = ["image", "masks"] if kind == "masks" else [*_GIVEN.get(kind, ()), kind, "model"]
    parts = [_parted(name) for name in names]
    imports = [line for lines, _ in parts for line in lines]
    bodies = [body for _, body in parts]
    if kind != "masks":
        needed, reader = _parted(_READERS.get(output, "classes"))
        imports += needed
        bodies[-1] = _inlined(bodies[-1], reader)
    kept = {line for line in imports if not line.startswith(_JOINT)}
    theirs = {line for line in kept if line.split()[1] not in sys.stdlib_module_names}
    imports = [*_joined(kept - theirs), *_joined(theirs)]
    return _compact("\n\n".join([_first_line(kind), "\n".join(imports), *bodies]))


def _joined(imports: set[str]) -> list[str]:
    """Return imports, those of whole modules on one line."""
    whole = sorted(line.partition(" ")[2] for line in imports if line.startswith("import "))
    others = sorted(line for line in imports if line.startswith("from "))
    return [f"import {', '.join(whole)}"] * bool(whole) + others


def _parted(name: str) -> tuple[list[str], str]:
    """Return a part's imports, and what follows them."""
    text = (_PARTS / f"{name}.py").read_text(encoding="utf-8")
    imports = re.findall("^(?:import|from) .*", text, re.MULTILINE)
    return imports, text.rpartition(imports[-1])[2].strip()


def _inlined(model: str, reader: str) -> str:
    """Return the model with the body of its reader in the place of the call."""
    body = reader.partition('"""')[2].partition('"""')[2].rpartition("\n    return ")[0]
    return model.replace(" " * 8 + _CALL, textwrap.indent(body.strip("\n"), " " * 4))


def _compact(source: str) -> str:
    """Return a source with one blank line between definitions, and none inside of them."""
    source = re.sub(r"  # noqa.*", "", source)
    return re.sub(r"\n\n+(?= )", "\n", re.sub(r"\n\n+(?! )", "\n\n", source)) + "\n"


def runner_beside(path: Path) -> Path:
    """Return where the runner of an ONNX file lies.

    Raises:
        InputError: Another file is there.
    """
    runner = path.with_name(f"{path.stem}_runner.py")
    if runner.exists() and not _OURS.match(runner.read_text(encoding="utf-8")):
        raise InputError(
            f"{runner} exists and is no runner of an export; move it, or name another file."
        )
    return runner


def write_runner(path: Path, kind: str, output: str = "logits") -> Path:
    """Write the runner of an ONNX file beside it, and return where."""
    runner = runner_beside(path)
    with replaced_file(runner) as temporary:
        temporary.write_text(runner_source(kind, output), encoding="utf-8")
    return runner


def _first_line(kind: str) -> str:
    return (_PARTS / f"{kind}.py").read_text(encoding="utf-8").splitlines()[0]
