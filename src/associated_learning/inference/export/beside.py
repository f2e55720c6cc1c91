"""The JSON beside an exported graph: what the graph does not tell, and a digest of the graph."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from associated_learning.errors import CheckpointError
from associated_learning.state.digests import check_files, file_digest
from associated_learning.state.files import read_json, write_json

__all__ = ["beside", "describe_export", "read_export"]

_FILES = "files"


def beside(path: Path) -> Path:
    """Return the path of the description of an exported graph."""
    return path.with_suffix(".json")


def describe_export(path: Path, described: Mapping[str, Any]) -> None:
    """Write what belongs to an exported graph into the file beside it.

    An ONNX file and a program of the same name and content share it.

    Raises:
        CheckpointError: It cannot be written.
    """
    files = {path.name: file_digest(path)}
    if beside(path).is_file():
        before = read_json(beside(path))
        if isinstance(before, dict) and before.pop(_FILES, None) and before == described:
            files = {**read_json(beside(path))[_FILES], **files}
    write_json(beside(path), {**described, _FILES: files})


def read_export(path: Path | str) -> dict[str, Any]:
    """Return what was written beside an exported graph, if both are still what they were.

    Call it before the graph is given to ONNX Runtime or to ``torch.export.load``, which notice few
    changes of its bytes.

    Raises:
        CheckpointError: A file is missing or has changed, or the description is of another graph.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), "model.onnx")
        >>> _ = path.write_bytes(b"graph")
        >>> describe_export(path, {"label_names": ["cat", "dog"]})
        >>> read_export(path)
        {'label_names': ['cat', 'dog']}
    """
    path = Path(path)
    described = read_json(beside(path))
    files = described.pop(_FILES, None) if isinstance(described, dict) else None
    if not isinstance(files, dict) or path.name not in files:
        raise CheckpointError(
            f"{beside(path)} does not describe {path.name}; export the run again (al export RUN "
            f"{path.name})."
        )
    check_files(path.parent, {path.name: files[path.name]}, remedy="Export the run again.")
    return dict(described)
