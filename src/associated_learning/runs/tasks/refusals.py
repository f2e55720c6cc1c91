"""What cannot be done with a run whose y has positions, and why."""

from __future__ import annotations

from associated_learning.errors import InputError

__all__ = ["check_early_exit", "check_graph"]


def check_early_exit(task: str) -> None:
    """Raise InputError where no sample can leave early.

    Example:
        >>> check_early_exit("classification")
    """
    if task != "classification":
        raise InputError(
            f"early exit came for a run of --task {task}, which answers at every token: tokens of "
            "one text would leave at different depths, and those that go on need them all. Choose "
            "one depth for all (--depth)."
        )


def check_graph(task: str, to: object) -> None:
    """Raise InputError where a run has no form as a graph.

    Args:
        task: That of the run.
        to: The name of the file.
    """
    if task != "classification":
        raise InputError(
            f"{to} came for a run of --task {task}, whose answers at every token the description "
            "beside a graph cannot tell yet; export to a folder, which transformers reads."
        )
