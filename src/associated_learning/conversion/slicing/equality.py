"""Law 5, checked at every conversion: the chained encoders give the model's own features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from associated_learning.conversion.cutting.body import find_body
from associated_learning.conversion.cutting.head import Head, head_begins
from associated_learning.conversion.slicing.slice import Slice, Stream
from associated_learning.conversion.tracing.arguments import Arguments
from associated_learning.conversion.tracing.call import Recording, first_tensor
from associated_learning.conversion.tracing.flow import Flow
from associated_learning.conversion.tracing.guards import GuardError
from associated_learning.conversion.tracing.record import record, same_draws
from associated_learning.errors import ConversionError, Fault
from associated_learning.tensors.chain import encodings
from associated_learning.tensors.modes import evaluating

__all__ = ["check_seen", "features", "recorded_features", "same_streams"]


def same_streams(slices: list[Slice], inputs: dict[str, Tensor], expected: Tensor) -> list[Stream]:
    """Run chained encoders and return what each gives.

    Raises:
        ConversionError: The last gives other features, in any bit.
        GuardError: The batch is of a size for which they might.
    """
    size = next(iter(inputs.values())).shape[0]
    try:
        with evaluating(nn.ModuleList(slices)), same_draws():
            found: list[Stream] = list(encodings(slices, inputs))
    except GuardError:
        raise
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise ConversionError([_not_repeatable(size, str(error))]) from error
    if not expected.is_meta and not torch.equal(found[-1].values, expected):
        raise ConversionError([_not_repeatable(size, "its features are others")])
    return found


def check_seen(
    plain: Any, recording: Recording, *, written: Sequence[str], again: Callable[[], Any]
) -> None:
    """Raise ConversionError if a model answers otherwise when its run is recorded.

    Args:
        plain: What it returned when nobody looked.
        recording: The run that was recorded.
        written: Names of the inputs that its runs changed.
        again: Runs it once more when nobody looks, with the same random numbers.
    """
    if _same(plain, recording.root.output):
        return
    if written:
        fault = Fault(
            "the model itself",
            f"its forward writes into its own input ({', '.join(written)}), so that the next run "
            "on the same batch is another",
            "Let it write into a copy: x = x.clone().",
        )
        raise ConversionError([fault])
    if not _same(plain, again()):
        fault = Fault(
            "the model itself",
            "it gives another answer every time it runs on the same batch with the same random "
            "numbers: it counts its calls, keeps something of them, or draws by itself",
            "Turn that off in evaluation (if self.training: ...).",
        )
        raise ConversionError([fault])
    packing = [
        name
        for name, module in recording.model.named_modules()
        if isinstance(module, nn.TransformerEncoder) and module.use_nested_tensor
    ]
    raise ConversionError([_unseen(packing)])


def _same(one: Any, other: Any) -> bool:
    a, b = first_tensor(one), first_tensor(other)
    if a is None or b is None or a.is_meta:
        return True
    return torch.equal(torch.nan_to_num(a), torch.nan_to_num(b))


def _unseen(packing: list[str]) -> Fault:
    if packing:
        return Fault(
            packing[0] or "the model itself",
            "this nn.TransformerEncoder packs padded batches into nested tensors in evaluation, "
            "but not in training, so that the two give different bits",
            "Turn that off: nn.TransformerEncoder(..., enable_nested_tensor=False).",
        )
    return Fault(
        "the model itself",
        "its answer changes in some bits when its run is recorded: a fused path is taken only "
        "when no one looks",
        "Turn that path off, or cut so that the module with it is in one layer as a whole.",
    )


def features(
    model: nn.Module, arguments: Arguments, inputs: dict[str, Tensor], head: Head
) -> Tensor:
    """Return what goes into a model's head, by a run of the model itself in evaluation mode."""
    args, kwargs = arguments.call(inputs)
    return recorded_features(record(model, args, kwargs, inputs), arguments, head)


def recorded_features(recording: Recording, arguments: Arguments, head: Head) -> Tensor:
    """Return what went into a model's head in a recorded run."""
    flow = Flow(recording, arguments.data(recording.inputs))
    return find_body(flow, head_begins(recording, head)).features.tensor


def _not_repeatable(size: int, why: str) -> Fault:
    return Fault(
        "the model itself",
        f"cut into layers it does not compute the same on {size} samples ({why}): its forward "
        "depends on more than the tensors and sizes that were seen",
        "Cut elsewhere, so that the module whose forward does so is in one layer as a whole.",
    )
