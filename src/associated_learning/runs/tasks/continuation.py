"""What a language model says next: the likeliest token, again and again."""

from __future__ import annotations

import torch

from associated_learning.data import BlockPreprocessor
from associated_learning.errors import InputError
from associated_learning.network import Network
from associated_learning.tensors.devices import device_of
from associated_learning.tensors.modes import evaluating

__all__ = ["continuation"]


def continuation(
    net: Network, blocks: BlockPreprocessor, text: str, *, count: int, depth: int
) -> str:
    """Return what follows a text: up to ``count`` tokens, each the likeliest after all before.

    Every token is computed from the whole text anew. A text that is longer than the model reads
    counts by its last tokens.

    Raises:
        InputError: The text has no token, or ``count`` is below 1.
    """
    if count < 1:
        raise InputError(f"{count} new tokens were asked for; expected 1 or more.")
    ids = blocks([text]).to(device_of(net))
    begin = ids.shape[1]
    with evaluating(net):
        for _ in range(count):
            seen = ids if blocks.longest is None else ids[:, -blocks.longest :]
            logits = net(seen, depth)[:, -1, : blocks.vocabulary_size]
            best = logits.argmax(-1, keepdim=True)
            if int(best) == blocks.end:
                break
            ids = torch.cat([ids, best], 1)
    before, whole = (blocks.tokenizer.decoded(part.tolist()) for part in (ids[0, :begin], ids[0]))
    return whole[len(before) :] if whole.startswith(before) else whole
