"""The live tensors of layers, by the files of a checkpoint that hold them."""

from __future__ import annotations

from torch import Tensor
from torch.optim import Optimizer

from associated_learning.pipeline.stage import Stage
from associated_learning.tensors.hollow import Tensors, weights_of

__all__ = ["files_of"]


def files_of(stage: Stage, *, optimizers: bool = True) -> dict[str, Tensors]:
    """Return the live tensors of some layers by the files of a checkpoint that hold them.

    Args:
        stage: The layers.
        optimizers: Whether those of the optimizers are wanted too.
    """
    found = {name: weights_of(part) for name, part in stage.parts.items()}
    if optimizers:
        for number, optimizer in enumerate(stage.optimizers, start=stage.first):
            if optimizer is not None:
                found[f"optimizer-{number}"] = _of_optimizer(optimizer)
    return found


def _of_optimizer(optimizer: Optimizer) -> Tensors:
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    return {
        f"{index}.{name}": value
        for index, parameter in enumerate(parameters)
        for name, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }
