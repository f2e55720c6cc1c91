"""AL by the Trainer of transformers: TrainingArguments mean what they meant."""

from __future__ import annotations

import inspect
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from associated_learning.conversion import ConvertedNetwork
from associated_learning.errors import InputError, needs_extra
from associated_learning.models.following import is_following
from associated_learning.network import Network
from associated_learning.tensors.batch_checks import LABELS, as_pair
from associated_learning.update import UpdateRule, add_gradients, update_layer

with needs_extra("hf-trainer", "ALTrainer"):
    import accelerate  # noqa: F401  # which transformers asks for only when it trains
    from transformers import Trainer, TrainingArguments

__all__ = ["ALTrainer"]


class ALTrainer(Trainer):  # type: ignore[misc]
    """The Trainer of transformers, with a network of this library as its model.

    Each layer learns by its own loss, and its activations are freed before the next one begins;
    all that surrounds an update is that of transformers: learning rates, accumulation, logging,
    saving, resuming, evaluation, callbacks. Layers have no parameter in common, so one step of its
    optimizer is a step of each layer's own; gradients are clipped layer by layer. Evaluation and
    prediction answer at full depth.

    Args:
        model: A network, such as `convert` makes.
        args: See transformers. Several processes, ``fp16`` and label smoothing are refused.
        others: See transformers. Batches are dictionaries with ``labels``; a network that was not
            converted takes what is beside them, where that is one tensor.

    Raises:
        InputError: A setting came that layers with losses of their own cannot follow.
    """

    model: Network
    _signature_columns: list[str] | None

    def __init__(self, model: Network, args: TrainingArguments, **others: Any) -> None:
        refused = {
            "fp16": args.fp16,
            "label_smoothing_factor": args.label_smoothing_factor,
            "deepspeed": args.deepspeed,
            "fsdp": args.fsdp,
            "world_size": args.world_size > 1,
        }
        for name, came in refused.items():
            if came:
                raise InputError(
                    f"{name}={getattr(args, name)} came for ALTrainer, whose layers learn one by "
                    "one; leave it out. For several processes see al.Trainer(executor=...)."
                )
        if any(map(is_following, model.blocks())):
            raise InputError(
                "a network with bridge_momentum or overlap came for ALTrainer, which updates each "
                "layer by itself; train it by al.Trainer, or leave them out."
            )
        if not isinstance(model, ConvertedNetwork):
            args.remove_unused_columns = False  # there is no forward that names them
        super().__init__(model=model, args=args, **others)
        # transformers seeds the generators, saves and restores them
        self._rule = UpdateRule(
            precision=torch.bfloat16 if args.bf16 else None,
            randomness=lambda *key, device: nullcontext(),
        )

    def training_step(
        self, model: nn.Module, inputs: Any, num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        """Add the gradients of every layer, one layer after the other; return their summed loss."""
        net, step = self.model, self.state.global_step
        net.train()
        x, y = self._pair(inputs)
        s, t, share = x, net.target.encode(y), 1 / self.current_gradient_accumulation_steps
        total = torch.zeros((), device=t.device)
        for i, block in enumerate(net.blocks(), start=1):
            key: dict[str, Any] = {"number": i, "step": step, "rule": self._rule}
            if any(parameter.requires_grad for parameter in block.parameters()):
                s, t, losses = add_gradients(block, s, t, share=share, **key)
            else:
                s, t, losses = update_layer(block, None, s, t, **key)
            total += sum(losses.values()).detach() * share  # type: ignore[union-attr]
        return total

    def prediction_step(
        self,
        model: nn.Module,
        inputs: Any,
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Return the loss of the output, the output ``[B, size]``, and the labels."""
        labelled = any(name in inputs for name in LABELS)
        x, y = self._pair(inputs) if labelled else (self._input(self._prepare_inputs(inputs)), None)
        with torch.no_grad():
            output = model(x)
        target = self.model.target
        loss = None if y is None else target.loss(output.float(), target.encode(y))
        return (loss, None, None) if prediction_loss_only else (loss, output, y)

    def _pair(self, inputs: Any) -> tuple[Any, Tensor]:
        x, y = as_pair(self._prepare_inputs(inputs), self.state.global_step)
        return self._input(x), y

    def _input(self, x: dict[str, Any]) -> Any:
        converted = isinstance(self.model, ConvertedNetwork)
        return x if converted or len(x) > 1 else next(iter(x.values()))

    def _clip_grad_norm(self, model: nn.Module) -> Tensor:
        """Clip the gradient of each layer by itself; return the norm of all."""
        most = self.args.max_grad_norm
        norms = [nn.utils.clip_grad_norm_(b.parameters(), most) for b in self.model.blocks()]
        norm: Tensor = torch.linalg.vector_norm(torch.stack(norms))
        return norm

    def _set_signature_columns_if_needed(self) -> None:
        """Say which columns of a data set are inputs: arguments of the model that was converted."""
        if self._signature_columns is None and isinstance(self.model, ConvertedNetwork):
            names = inspect.signature(self.model.backbone().forward).parameters
            self._signature_columns = [*names, *LABELS, "label_ids", *self.label_names]
