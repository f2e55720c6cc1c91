"""What an input that masks positions means, and which inputs are shared: tried on the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from associated_learning.conversion.tracing.arguments import Arguments
from associated_learning.conversion.tracing.call import first_tensor
from associated_learning.conversion.tracing.resizing import attributes_kept
from associated_learning.tensors.modes import training
from associated_learning.tensors.randomness.generators import seed_all

__all__ = ["read_inputs"]

# by which a mask is known where a trial shows nothing, as transformers and torch name theirs
_BY_NAME = {"attention_mask": True, "src_key_padding_mask": False, "key_padding_mask": False}


def read_inputs(model: nn.Module, arguments: Arguments, inputs: Mapping[str, Tensor]) -> Arguments:
    """Return the arguments with what the model does with its masks and shared inputs.

    An input is shared if it must stay whole where samples are left out. A mask ``[B, T]`` of
    zeros and ones is true at padding, if the model's answer changes with the data where it is
    false, and does not where it is true; and the other way round. Where neither is so, a mask
    counts by its name alone if that name is one of transformers or torch, and else not at all.

    Args:
        model: The model; it is left as it was.
        arguments: How a batch becomes its arguments; what they say already is kept.
        inputs: A batch of two samples or more.
    """

    def answer(batch: Mapping[str, Tensor]) -> Tensor | None:
        args, kwargs = arguments.call(batch)
        seed_all(0)
        return first_tensor(model(*args, **kwargs))

    with training(model), attributes_kept(model), torch.no_grad():
        model.eval()
        shared = tuple(_shared(arguments, inputs, answer))
        arguments = arguments.with_masks(arguments.masks, shared)
        masks = dict(arguments.masks)
        for name in _candidates(arguments, inputs):
            keeps = _keeps(arguments, inputs, name, answer)
            last = name.rpartition(".")[2]
            if keeps is not None or last in _BY_NAME:
                masks[name] = _BY_NAME[last] if keeps is None else keeps
    return arguments.with_masks(masks, shared)


def _shared(
    arguments: Arguments,
    inputs: Mapping[str, Tensor],
    answer: Callable[[Mapping[str, Tensor]], Tensor | None],
) -> list[str]:
    """Return what is the same for all samples: what has not one row for each of them.

    A square input ``[T, T]`` may have as many rows as there are samples, too: with fewer samples
    the model fails if it is cut with them, and does not if it stays whole.
    """
    size = arguments.count(inputs)
    others = [n for n, value in inputs.items() if not value.dim() or value.shape[0] != size]
    found = list(dict.fromkeys([*arguments.shared, *others]))
    if arguments.linked:
        return found
    for name, value in inputs.items():
        if name == arguments.data_name or name in found or value.dim() < 2 or value.is_meta:
            continue
        if not value.shape[0] == value.shape[1] == size:
            continue
        fewer = arguments.fewer(inputs, size - 1)
        if not _runs(answer, fewer) and _runs(answer, {**fewer, name: value}):
            found.append(name)
    return found


def _runs(
    answer: Callable[[Mapping[str, Tensor]], Tensor | None], batch: Mapping[str, Tensor]
) -> bool:
    try:
        answer(batch)
    except Exception:  # whatever the model's own forward raises
        return False
    return True


def _candidates(arguments: Arguments, inputs: Mapping[str, Tensor]) -> list[str]:
    """Return the names of masks ``[B, T]`` of zeros and ones of which nothing was said."""
    found = []
    for name in arguments.rows(inputs):
        value = inputs[name]
        named = value.dtype is torch.bool or "mask" in name
        if name in arguments.masks or value.dim() != 2 or not named or value.is_meta:
            continue
        if name != arguments.data_name and bool(((value == 0) | (value == 1)).all()):
            found.append(name)
    return found


def _keeps(
    arguments: Arguments,
    inputs: Mapping[str, Tensor],
    name: str,
    answer: Callable[[Mapping[str, Tensor]], Tensor | None],
) -> bool | None:
    """Return whether a mask is true at real positions; None if the model does not show it."""
    inputs = arguments.fewer(inputs, 2)  # which are enough to tell, and take less time
    mask = inputs[name].bool()
    if bool(mask.all()) or not bool(mask.any()):
        mask = mask.clone()
        mask[:, mask.shape[1] // 2 :] = ~mask[:, mask.shape[1] // 2 :]
    batch = {**inputs, name: mask.to(inputs[name].dtype)}
    sides = (mask, ~mask)
    batches = [_with_others(arguments, batch, name, where) for where in sides]
    if any(all(torch.equal(other[key], batch[key]) for key in batch) for other in batches):
        return None
    try:
        before, *after = (answer(one) for one in (batch, *batches))
    except Exception:  # whatever the model's own forward raises
        return None
    at_true, at_false = (
        _differs(before, one, where) for one, where in zip(after, sides, strict=True)
    )
    return None if at_true == at_false else at_true


def _with_others(
    arguments: Arguments, batch: Mapping[str, Tensor], name: str, where: Tensor
) -> dict[str, Tensor]:
    """Return a batch in which some positions hold what other samples and positions hold."""
    changed = dict(batch)
    for other in arguments.rows(batch):
        value = batch[other]
        masked = value.dtype is torch.bool or "mask" in other
        if other != name and not masked and value.shape[:2] == where.shape:
            place = where.view(*where.shape, *[1] * (value.dim() - 2))
            changed[other] = torch.where(place, value.flip(0, 1), value)
    return changed


def _differs(before: Tensor | None, after: Tensor | None, where: Tensor) -> bool:
    """Whether an answer changed elsewhere than at the changed positions themselves."""
    if before is None or after is None:
        return False
    if before.shape != after.shape:
        return True
    if before.dim() >= 3 and before.shape[:2] == where.shape:
        place = where.view(*where.shape, *[1] * (before.dim() - 2))
        before, after = before.masked_fill(place, 0), after.masked_fill(place, 0)
    scale = torch.nan_to_num(before.abs().float(), posinf=0.0).max()
    apart = torch.nan_to_num((before - after).abs().float())
    return bool(apart.max() > 1e-4 * scale)
