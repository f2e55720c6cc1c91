"""An AL network as a module of Lightning, whose Trainer then drives it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from associated_learning.errors import InputError, needs_extra
from associated_learning.layer import PerLayer
from associated_learning.network import Network
from associated_learning.state.optimizers import Schedule, make_optimizers, make_schedulers
from associated_learning.targets import Prediction
from associated_learning.tensors.batch_checks import as_pair, check_batch
from associated_learning.update import DEFAULT_RULE, UpdateRule, update_network

with needs_extra("lightning", "ALModule"):
    from lightning.pytorch import LightningModule

__all__ = ["ALModule"]


class ALModule(LightningModule):  # type: ignore[misc]
    """Trains a network layer by layer (`update_network`), with an optimizer for each layer.

    Logs ``loss/TERM/layer-I``, and of validation and test data ``validation/depth-I`` and
    ``test/depth-I``, the score of every depth. ``global_step`` counts minibatches. What is random
    in a layer is keyed by it, so a run that is resumed goes on exactly.

    Args:
        net: The network.
        optimizer: Any class of ``torch.optim``, or one for each block.
        lr: One learning rate, or one for each block.
        schedule: Makes a learning-rate scheduler of an optimizer, which advances by epochs.
        rule: How a layer is updated: seed, clipping, precision.
        options: Passed on to the optimizer.
    """

    def __init__(
        self,
        net: Network,
        *,
        optimizer: PerLayer[type[Optimizer]] = torch.optim.Adam,
        lr: PerLayer[float] = 1e-3,
        schedule: PerLayer[Schedule | None] = None,
        rule: UpdateRule = DEFAULT_RULE,
        **options: Any,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.net = net
        self.rule = rule
        self._optimizer, self._lr, self._schedule = optimizer, lr, schedule
        self._options = options

    def configure_optimizers(self) -> tuple[list[Optimizer], list[Any]]:
        """Return an optimizer for each layer that trains, and their schedulers."""
        made = make_optimizers(self.net.blocks(), self._optimizer, lr=self._lr, **self._options)
        self._trains = [optimizer is not None for optimizer in made]
        schedulers = make_schedulers(made, self._schedule)
        return [one for one in made if one is not None], [s for s in schedulers if s is not None]

    def on_fit_start(self) -> None:
        """Refuse what layers with losses of their own cannot follow.

        Raises:
            InputError: Several processes or float16 came. (Clipping and accumulation by its Trainer
                are refused by Lightning: see ``rule``.)
        """
        ranks, precision = self.trainer.world_size, self.trainer.precision
        if ranks > 1:
            raise InputError(
                f"{ranks} processes came; ALModule trains in one. For several see "
                "al.Trainer(executor='processes')."
            )
        if precision.startswith("16"):
            raise InputError(
                f"precision={precision!r} came, which would need losses scaled; use 'bf16-mixed'."
            )

    def training_step(self, batch: Any, batch_idx: int) -> None:
        """Update every layer on a minibatch, from the input up."""
        x, y = self._pair(batch, batch_idx)
        blocks, t0 = self.net.blocks(), self.net.target.encode(y)
        found = update_network(
            blocks, self._of_blocks(), x, t0, step=self.global_step, rule=self.rule
        )
        losses = enumerate(found, start=1)
        values = {f"loss/{k}/layer-{i}": v for i, terms in losses for k, v in terms.items()}
        self.log_dict(values, batch_size=len(y))

    def on_train_epoch_end(self) -> None:
        """Advance the learning rates."""
        found = self.lr_schedulers()
        for scheduler in found if isinstance(found, list) else [found] * (found is not None):
            scheduler.step()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Log the score of every depth."""
        self._score(batch, batch_idx, "validation")

    def test_step(self, batch: Any, batch_idx: int) -> None:
        """Log the score of every depth."""
        self._score(batch, batch_idx, "test")

    def predict_step(self, batch: Any, batch_idx: int) -> Prediction:
        """Return labels and probabilities, at full depth, of inputs or of pairs."""
        return self.net.predict(batch[0] if isinstance(batch, (tuple, list)) else batch)

    def forward(self, x: Any) -> Tensor:
        """Return the output at full depth, ``[B, size]``."""
        output: Tensor = self.net(x)
        return output

    def _score(self, batch: Any, number: int, name: str) -> None:
        x, y = self._pair(batch, number)
        exits = enumerate(self.net.exits(x), start=1)
        target, counted = self.net.target, self.net.target.counted(y)
        total = int(counted.sum())
        scores = {i: (target.score(output, y) * counted).sum() for i, output in exits}
        if total:  # batches weigh by the answers in them that count
            values = {f"{name}/depth-{i}": score / total for i, score in scores.items()}
            self.log_dict(values, batch_size=total)

    def _pair(self, batch: Any, number: int) -> tuple[Any, Tensor]:
        x, y = as_pair(batch, number)
        check_batch(x, y, number)
        return x, y

    def _of_blocks(self) -> Sequence[Optimizer | None]:
        """Return each block's optimizer; one is Lightning's, whose steps it counts."""
        found = self.optimizers(use_pl_optimizer=False)
        plain = iter(found if isinstance(found, list) else [found])
        each = [next(plain) if trains else None for trains in self._trains]
        counted = self.optimizers()
        last = max(i for i, trains in enumerate(self._trains) if trains)
        each[last] = counted[-1] if isinstance(counted, list) else counted
        return each
