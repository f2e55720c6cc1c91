"""Novelty and doubt about labels, where the right answer is known."""

from __future__ import annotations

import pytest
import torch

import associated_learning as al
from associated_learning.errors import InputError
from associated_learning.inference.exits.record import ExitRecord
from associated_learning.inference.exits.rejection import label_doubt, novelty

PROTOTYPES = torch.tensor([[0.0, 0.0], [3.0, 4.0]])


def _record(latents: list[list[float]], outputs: list[list[float]], y: list[int]) -> ExitRecord:
    """Return two exits; the first says nothing."""
    latent, output = torch.tensor(latents), torch.tensor(outputs)
    return ExitRecord(
        torch.stack([torch.zeros_like(output), output]),
        (torch.zeros_like(latent), latent),
        (PROTOTYPES, PROTOTYPES),
        torch.tensor(y),
        al.Classes(2),
    )


RECORD = _record([[0.0, 1.0], [3.0, 0.0]], [[2.0, 0.0], [0.0, 0.0]], [1, 1])


def test_novelty_is_the_distance_to_the_nearest_class() -> None:
    assert novelty(RECORD).tolist() == pytest.approx([1, 3])  # 3 to the first, 4 to the second
    assert novelty(RECORD, depth=1).tolist() == [0, 0]
    sure = 1 / (1 + torch.tensor(-2.0).exp().item())
    assert novelty(RECORD, measure="probability").tolist() == pytest.approx([-sure, -0.5])


def test_doubt_is_the_distance_to_the_label() -> None:
    assert label_doubt(RECORD).tolist() == pytest.approx([18**0.5, 4])
    sure = 1 / (1 + torch.tensor(-2.0).exp().item())
    assert label_doubt(RECORD, measure="probability").tolist() == pytest.approx([sure, 0.5])


def test_bad_input() -> None:
    with pytest.raises(InputError, match="depth 3 came; expected 1 to 2"):
        novelty(RECORD, depth=3)
    with pytest.raises(InputError, match="expected prototype or probability"):
        label_doubt(RECORD, measure="margin")
    with pytest.raises(InputError, match="expected one of"):
        novelty(RECORD, measure="luck")
