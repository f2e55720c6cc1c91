"""What cannot be done with a run that does not tell one class a sample, and why."""

from __future__ import annotations

from pathlib import Path

from associated_learning.errors import InputError

__all__ = ["check_early_exit", "check_form"]


def check_early_exit(task: str) -> None:
    """Raise InputError where no sample can leave early.

    Example:
        >>> check_early_exit("classification")
    """
    if task == "regression":
        raise InputError(
            "early exit came for a run of --task regression, whose numbers do not tell how sure an "
            "exit is. Choose one depth for all (--depth)."
        )
    if task == "multilabel":
        raise InputError(
            "early exit came for a run of --task multilabel, whose labels would be sure at "
            "different depths. Choose one depth for all (--depth)."
        )
    if task != "classification":
        part, whole = ("pixel", "image") if task == "segmentation" else ("token", "text")
        raise InputError(
            f"early exit came for a run of --task {task}, which answers at every {part}: {part}s "
            f"of one {whole} would leave at different depths, and those that go on need them all. "
            "Choose one depth for all (--depth)."
        )


def check_form(task: str, to: Path) -> None:
    """Raise InputError where a run has no form as a graph, or as a folder.

    Args:
        task: That of the run.
        to: The name of the file; without a suffix that of a folder.
    """
    if task == "segmentation" and not to.suffix:
        raise InputError(
            f"{to} came for a run of --task segmentation, whose masks no folder tells; export to "
            f"{to}.onnx, or write masks by al predict."
        )
    if to.suffix and task not in ("classification", "regression", "multilabel", "segmentation"):
        raise InputError(
            f"{to} came for a run of --task {task}, whose answers at every token the description "
            "beside a graph cannot tell yet; export to a folder, which transformers reads."
        )
