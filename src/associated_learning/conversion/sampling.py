"""Checks a model and its example, and takes the first samples of the example for the trials."""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from associated_learning.conversion.example import Example
from associated_learning.conversion.slicing.slice import Slice
from associated_learning.conversion.tracing.arguments import Arguments
from associated_learning.errors import InputError
from associated_learning.network import Network
from associated_learning.tensors.batch_checks import check_finite
from associated_learning.tensors.devices import device_of

__all__ = ["Samples", "check_model", "example_tensors", "first_samples", "trimmed"]

Samples = int | Literal["auto"] | None
_LARGE = 50_000_000  # parameters of a model whose runs take seconds


def trimmed(arguments: Arguments, whole: dict[str, Tensor], inputs: dict[str, Tensor]) -> list[str]:
    """Return a note if not all of the example is looked at."""
    count, used = arguments.count(whole), arguments.count(inputs)
    if count == used:
        return []
    return [f"looked at {used} of the example's {count} samples (samples={used})"]


def check_model(model: Any) -> None:
    """Raise InputError unless a model can be converted as what it is."""
    if not isinstance(model, nn.Module):
        raise InputError(f"{model!r} came; expected a model, an object of a class of nn.Module.")
    inner = "module" if isinstance(model, nn.DataParallel) else "_orig_mod"
    if isinstance(model, nn.DataParallel) or hasattr(model, inner):
        raise InputError(
            f"a {type(model).__name__} came, which wraps a model; convert model.{inner} instead."
        )
    if isinstance(model, Network) or any(isinstance(part, Slice) for part in model.modules()):
        raise InputError(
            f"a {type(model).__name__} came, which is in AL form already; convert the model that "
            "it was made of (net.backbone())."
        )


def example_tensors(model: nn.Module, arguments: Arguments, example: Example) -> dict[str, Tensor]:
    """Return the example's tensors by name."""
    inputs = arguments.bind(example.inputs)
    check_finite(inputs, "example")
    device = device_of(model)
    elsewhere = [name for name, value in inputs.items() if value.device != device]
    if elsewhere:
        raise InputError(
            f"the example's {', '.join(elsewhere)} came on {inputs[elsewhere[0]].device}, the "
            f"model is on {device}; move the example there: x.to({str(device)!r})."
        )
    count = arguments.count(inputs)
    if count < 2 and not arguments.linked:
        raise InputError(
            f"an example of {count} samples came; expected a batch of two or more, which tells "
            "the batch apart from the other axes."
        )
    return inputs


def first_samples(
    model: nn.Module, arguments: Arguments, inputs: dict[str, Tensor], samples: Samples
) -> dict[str, Tensor]:
    """Return the first samples of the example: enough to see shapes and to take times."""
    if samples == "auto":
        size = sum(parameter.numel() for parameter in model.parameters() if not is_lazy(parameter))
        samples = 3 if size > _LARGE else 4
    if samples is None or samples >= arguments.count(inputs):
        return inputs
    if samples < 2:
        raise InputError(f"samples={samples} came; expected two or more, 'auto', or None for all.")
    return arguments.fewer(inputs, _telling_count(inputs, samples))


def _telling_count(inputs: dict[str, Tensor], most: int) -> int:
    """Return how many samples to look at: as many as no other axis is long, if that can be."""
    others = {size for value in inputs.values() for size in value.shape[1:]}
    return next((n for n in range(most, 1, -1) if n not in others), most)
