"""What is checked: a model, the layers that were made of it, and how to run either untouched."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from associated_learning.conversion.cutting.head import Head
from associated_learning.conversion.plan import Plan
from associated_learning.conversion.slicing.equality import recorded_features
from associated_learning.conversion.slicing.program import LayerProgram
from associated_learning.conversion.slicing.slice import Slice, Stream
from associated_learning.conversion.tracing.arguments import Arguments
from associated_learning.conversion.tracing.record import record
from associated_learning.conversion.tracing.resizing import attributes_kept
from associated_learning.tensors.devices import device_of
from associated_learning.tensors.modes import training
from associated_learning.tensors.randomness.generators import shared_generators

__all__ = ["KEEP_WHOLE", "Subject"]

KEEP_WHOLE = "Cut so that the module whose forward does so is in one layer as a whole."


class Subject(NamedTuple):
    """A model and the layers that were made of it.

    Attributes:
        model: The model.
        arguments: How a batch becomes its arguments.
        head: Where its features end.
        encoders: The layers' f.
        readouts: What reads each layer's s.
        batch_axes: Which axis of each s holds the samples.
        names: The module at which each layer begins; empty for the first.
        positions: Which axes of the input are y's positions; empty where it has none.
    """

    model: nn.Module
    arguments: Arguments
    head: Head
    encoders: Sequence[nn.Module]
    readouts: Sequence[nn.Module]
    batch_axes: Sequence[int]
    names: Sequence[str]
    positions: tuple[int, ...] = ()

    @classmethod
    def of(
        cls,
        model: nn.Module,
        arguments: Arguments,
        head: Head,
        encoders: Sequence[nn.Module],
        plan: Plan,
        readouts: Sequence[nn.Module] | None = None,
    ) -> Subject:
        """Return what a plan made of a model; its readouts are the plan's, if not given."""
        layers = plan.layers
        return cls(
            model,
            arguments,
            head,
            encoders,
            [layer.readout for layer in layers] if readouts is None else readouts,
            [layer.batch_axis for layer in layers],
            [layer.begins for layer in layers],
            plan.positions,
        )

    def place(self, i: int) -> str:
        """Return what messages call layer ``i``, counted from 0."""
        begins = f", from {self.names[i]} on" if self.names[i] else ""
        return f"layer {i + 1}{begins}"

    def features(self, inputs: Mapping[str, Tensor], *, in_training: bool = False) -> Tensor:
        """Return what the model itself gives its head, with its own graph of gradients."""
        args, kwargs = self.arguments.call(inputs)
        recording = record(
            self.model,
            args,
            kwargs,
            dict(inputs),
            in_training=in_training,
            gradients=torch.is_grad_enabled(),
        )
        return recorded_features(recording, self.arguments, self.head)

    def streams(self, inputs: Any) -> list[Stream]:
        """Return what every layer hands on, chained and without gradient stops."""
        found: list[Stream] = []
        for encoder in self.encoders:
            found.append(encoder(found[-1] if found else dict(inputs)))
        return found

    def read(self, inputs: Mapping[str, Tensor]) -> list[Tensor]:
        """Return what the bridge of every layer reads, within `mode`, from the same draws on."""
        self.restart()
        pairs = zip(self.readouts, self.streams(inputs), strict=True)
        return [readout(stream) for readout, stream in pairs]

    @contextmanager
    def mode(self, in_training: bool, *, gradients: bool = False) -> Iterator[None]:
        """Put model and layers into a mode; restore modes, buffers and attributes after it.

        In training mode every module that the layers call begins with random numbers of its
        own, whatever was drawn before: so model and layers draw the same, also where the model
        draws more.
        """
        everything = nn.ModuleList([self.model, *self.encoders, *self.readouts])
        python = random.getstate()
        with (
            training(everything),
            attributes_kept(everything),
            torch.set_grad_enabled(gradients),
        ):
            everything.train(in_training)
            hooks = self._keyed() if in_training else []
            try:
                yield
            finally:
                for hook in hooks:
                    hook.remove()
                random.setstate(python)

    def restart(self) -> None:
        """Begin with the same random numbers again, within `mode`."""
        _seed(0, device_of(self.model))
        random.seed(0)

    def _keyed(self) -> list[Any]:
        device = device_of(self.model)
        slices = [encoder for encoder in self.encoders if isinstance(encoder, Slice)]
        called = {
            id(module): (path, module)
            for encoder in slices
            for path in _called(encoder.in_training or encoder.recipe)
            for module in encoder.get_submodule(path).modules()
        }
        return [
            module.register_forward_pre_hook(_Reseeding(f"{path}.{number}", device))
            for number, (path, module) in enumerate(called.values())
            if not isinstance(module, torch.jit.ScriptModule)
        ]


def _called(program: LayerProgram) -> list[str]:
    return [step.target for step in program.steps if isinstance(step.target, str)]


def _seed(seed: int, device: torch.device) -> None:
    """Seed the generators themselves: ``torch.manual_seed`` takes longer than a small layer."""
    for generator in shared_generators(device):
        generator.manual_seed(seed)


class _Reseeding:
    """A hook that begins a module's random numbers anew at each of its calls."""

    def __init__(self, path: str, device: torch.device) -> None:
        self.seed, self.device = zlib.crc32(path.encode()), device

    def __call__(self, module: nn.Module, args: Any) -> None:
        _seed(self.seed, self.device)
