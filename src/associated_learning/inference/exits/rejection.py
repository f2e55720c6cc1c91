"""Which samples to mistrust: unlike what was trained on, or with a label that looks wrong."""

from __future__ import annotations

import torch
from torch import Tensor

from associated_learning.errors import InputError
from associated_learning.inference.exits.confidence import ExitAnswer, measure_named
from associated_learning.inference.exits.record import ExitRecord

__all__ = ["label_doubt", "novelty"]


def novelty(record: ExitRecord, *, measure: str = "prototype", depth: int | None = None) -> Tensor:
    r"""Return how unlike the training data each sample looks to an exit, ``[N]``.

    By "prototype" that is ``min_c \|b_k(s_k) - t_k(c)\|``: how far a sample lies from all classes.
    What is too far can be refused instead of labelled.

    Args:
        record: The exit's answers; see `record_exits`. Its labels are not read.
        measure: See `ExitPolicy`; patience tells nothing here.
        depth: Which exit, from 1; the last one by default.

    Raises:
        InputError: There is no such exit or measure.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> import associated_learning as al
        >>> from associated_learning.inference.exits.record import record_exits
        >>> x, y = torch.randn(8, 4), torch.arange(8) % 2
        >>> net = al.al_form([nn.Linear(4, 6)], x, al.Classes(2), latent=3)
        >>> bool((novelty(record_exits(net, [(100 * x, y)])) > 0).all())
        True
    """
    return -measure_named(measure)(_answer(record, depth))


def label_doubt(
    record: ExitRecord, *, measure: str = "prototype", depth: int | None = None
) -> Tensor:
    r"""Return how unlike its own label each sample looks to an exit, ``[N]``.

    The largest are the first to be looked at in a search for wrong labels. By "prototype" that is
    ``\|b_k(s_k) - t_k(y)\|``, by "probability" 1 minus that of the label.

    Args:
        record: The exit's answers and the labels; see `record_exits`.
        measure: "prototype" or "probability".
        depth: Which exit, from 1; the last one by default.

    Raises:
        InputError: There is no such exit or measure.
    """
    answer, rows = _answer(record, depth), torch.arange(len(record.y))
    if measure == "prototype":
        own = answer.prototypes[record.y]
        return torch.nn.functional.pairwise_distance(answer.latent, own, eps=0.0)
    if measure == "probability":
        return 1 - answer.probabilities[rows, record.y]
    raise InputError(f"measure {measure!r} came; expected prototype or probability.")


def _answer(record: ExitRecord, depth: int | None) -> ExitAnswer:
    if depth is not None and not 1 <= depth <= record.depth:
        raise InputError(f"depth {depth} came; expected 1 to {record.depth}.")
    return record.answers((1.0,) * record.depth)[(depth or record.depth) - 1]
