"""Whether a language model answers from what stands before alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from associated_learning.errors import InputError
from associated_learning.tensors.modes import evaluating

__all__ = ["check_causal"]


def check_causal(model: nn.Module, ids: Tensor) -> None:
    """Check that no answer of a language model depends on later tokens.

    Such a model would read off the token that it is to tell.

    Raises:
        InputError: One does.
    """
    changed = ids.clone()
    changed[:, -1] = changed[:, :1].squeeze(1)
    changed[:, -1] = torch.where(changed[:, -1] == ids[:, -1], ids[:, -2], changed[:, -1])
    with evaluating(model):
        before, after = (model(x).logits[:, :-1] for x in (ids, changed))
    if not torch.equal(before, after):
        raise InputError(
            f"{type(model).__name__} answers from later tokens too, so that it would see what it "
            "is to tell; expected a causal language model, such as gpt2 or llama (bert and its kin "
            "need is_decoder in their config.json)."
        )
