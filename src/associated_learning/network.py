"""AL networks (Figure 2) and their inference through any depth (Algorithm 3)."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from associated_learning.errors import InputError
from associated_learning.layer import ALLayer, JointLayers, LayerOutput, Prefix, check_fit
from associated_learning.targets import Prediction, Target
from associated_learning.tensors.batch_checks import explained
from associated_learning.tensors.chain import encode, encodings
from associated_learning.tensors.modes import evaluating
from associated_learning.tensors.outputs import OutputReader, as_it_is
from associated_learning.tensors.owners import check_owners

__all__ = ["ALNetwork", "Network"]


class Network(nn.Module, ABC):
    """What the trainer and the executors take: an AL network, or a backpropagated one.

    Attributes:
        target: What y is.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> import associated_learning as al
        >>> x, model = torch.randn(2, 4), nn.Linear(4, 3)
        >>> networks = al.al_form([model], x, al.Classes(3)), al.BPNetwork(model, al.Classes(3))
        >>> [net.predict(x).labels.shape for net in networks]
        [torch.Size([2]), torch.Size([2])]
    """

    target: Target

    @property
    @abstractmethod
    def num_layers(self) -> int:
        """Number of depths at which the network can answer."""

    @abstractmethod
    def blocks(self) -> list[nn.Module]:
        """Return the parts that train in isolation, from the input up.

        Each maps ``(s, t)`` to a `LayerOutput` and is trained by the sum of its own losses.
        """

    @abstractmethod
    def parts(self) -> dict[str, nn.Module]:
        """Return the modules that a checkpoint saves, each under its name in a file of its own."""

    @abstractmethod
    def exits(self, x: Any) -> Iterator[Tensor]:
        """Yield the output ``[B, size]`` of every depth in turn, sharing the encoders."""

    def exits_of(
        self, batches: Iterable[Any], read: OutputReader = as_it_is
    ) -> Iterator[Iterable[Any]]:
        """Yield what `exits` gives for each of several batches, made as it is asked for.

        Args:
            batches: Of inputs.
            read: Is given the number of the batch, from 0, the depth, from 1, and the output once
                it is made; what it returns stands in for the output, which need not be kept.
        """

        def outputs(x: Any, number: int) -> Iterator[Any]:
            with explained(f"the network cannot take batch {number}", x):
                yield from map(partial(read, number), itertools.count(1), self.exits(x))

        yield from map(outputs, batches, itertools.count())

    @abstractmethod
    def inference_modules(self, depth: int) -> list[nn.Module]:
        """Return the modules that inference through ``depth`` layers runs."""

    def adopts(self, folder: Path) -> bool:
        """Take over a checkpoint's files unread; return False where weights are in memory."""
        return False

    def judged(self, scores: list[float]) -> float:
        """Return by what score of all depths an epoch is judged: that of full depth."""
        return scores[-1]

    def candidates(self, scores: list[float]) -> dict[int, float]:
        """Return the scores by which an epoch is judged where any depth may be the best one."""
        return dict(enumerate(scores, start=1))

    def check_depth(self, depth: int | None) -> int:
        """Return ``depth``, or the full depth for None. Raises InputError out of range."""
        depth = self.num_layers if depth is None else depth
        if not isinstance(depth, int) or not 1 <= depth <= self.num_layers:
            raise InputError(
                f"depth {depth} came for a network that answers at {self.num_layers} "
                f"depth{'s' * (self.num_layers > 1)}; expected 1 to {self.num_layers}."
            )
        return depth

    def prefix(self, depth: int) -> nn.Module:
        """Return the module that answers through ``depth`` layers, to be exported."""
        self.check_depth(depth)
        return self

    def in_memory(self, depth: int | None = None) -> Network:
        """Return a network of which so many layers can be copied: itself where it is in memory."""
        return self

    def predict(self, x: Any, depth: int | None = None) -> Prediction:
        """Answer with labels and probabilities (Algorithm 3).

        Gradients and training mode stay as they are; `predict_batches` takes care of both.

        Args:
            x: A batch of inputs.
            depth: Number of encoders to pass, 1 to `num_layers`; all by default.
        """
        return self.target.predict(self(x, depth))


class ALNetwork(Network):
    r"""A network in AL form: layers that train in isolation, each prefix a usable model.

    Args:
        layers: The `ALLayer` objects, from the input up.
        target: What y is; it makes ``t_0`` and reads the output.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> import associated_learning as al
        >>> layer = al.ALLayer(
        ...     f=nn.Linear(4, 8), b=nn.Linear(8, 5), g=nn.Linear(3, 5), h=nn.Linear(5, 3)
        ... )
        >>> net = al.ALNetwork([layer], target=al.Classes(3))
        >>> net(torch.randn(2, 4)).shape
        torch.Size([2, 3])
    """

    def __init__(self, layers: Iterable[ALLayer], target: Target) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.target = target
        self._check_layers()

    def _check_layers(self) -> None:
        if not self.layers:
            raise InputError("an ALNetwork of no layers came; expected at least one ALLayer.")
        check_owners(self.layers)
        for block in self._grouped():
            if not block[-1].use_associated:
                raise InputError(
                    "a layer without associated loss has no loss that trains its encoder; turn "
                    "off the gradient stop of the layer above it, which then trains it."
                )

    @property
    def num_layers(self) -> int:
        return len(self.layers)

    def al_layers(self) -> list[ALLayer]:
        """Return the layers as a typed list."""
        return list(self.layers)  # type: ignore[arg-type]

    def encoders(self) -> list[nn.Module]:
        """Return ``f_1 .. f_L``."""
        return [layer.f for layer in self.al_layers()]

    def _grouped(self) -> list[list[ALLayer]]:
        groups: list[list[ALLayer]] = []
        for layer in self.al_layers():
            if layer.stop_gradients or not groups:
                groups.append([])
            groups[-1].append(layer)
        return groups

    def blocks(self) -> list[nn.Module]:
        return [group[0] if len(group) == 1 else JointLayers(group) for group in self._grouped()]

    def parts(self) -> dict[str, nn.Module]:
        return {f"layer-{i}": layer for i, layer in enumerate(self.layers, start=1)}

    def candidates(self, scores: list[float]) -> dict[int, float]:
        every = super().candidates(scores)
        # a frozen layer answers the same in every epoch, whatever those above it learn
        learning = {
            depth: every[depth]
            for depth, layer in enumerate(self.layers, start=1)
            if any(parameter.requires_grad for parameter in layer.parameters())
        }
        return learning or every

    def coders(self) -> AbstractContextManager[None]:
        """Return a context in which g and h of all layers are in memory at once, to be trained."""
        return nullcontext()

    def held(self, block: nn.Module) -> AbstractContextManager[None]:
        """Return a context in which a block has its weights, which may be trained but not kept."""
        return nullcontext()

    def append(self, layer: ALLayer, x: Any = None) -> None:
        """Put a layer on top (dynamic layer accumulation, section 2.2.2).

        The layers below stay as they are, and so does whatever optimizes them: their
        trajectory does not change by a bit (a layer's randomness is keyed by its number).

        Args:
            layer: Takes ``s`` and ``t`` of the present top, ``t`` of its width ``D_l``.
            x: A batch of inputs, to try the layer on before it is taken.

        Raises:
            InputError: The layer does not fit, or shares weights with one below; the network stays
                as it was.

        Example:
            >>> import torch
            >>> from torch import nn
            >>> import associated_learning as al
            >>> x = torch.randn(6, 4)
            >>> net = al.al_form([nn.Linear(4, 8)], x, al.Classes(3), latent=5)
            >>> top = al.ALLayer(
            ...     f=nn.Linear(8, 8), b=nn.Linear(8, 7), g=nn.Linear(5, 7), h=nn.Linear(7, 5)
            ... )
            >>> net.append(top, x)
            >>> net.num_layers, net(x).shape
            (2, torch.Size([6, 3]))
        """
        if x is not None:
            with evaluating(self), evaluating(layer):
                s = encode(self.encoders(), x)
                t = self.al_layers()[-1].latent(s)  # looks as t of the top does
                check_fit(layer, s, t, number=self.num_layers + 1)
        self.layers.append(layer)
        try:
            self._check_layers()
        except InputError:
            del self.layers[-1]
            raise

    def truncate(self, depth: int) -> None:
        """Keep ``depth`` layers, 1 to `num_layers`: they answer as they did at that depth."""
        del self.layers[self.check_depth(depth) :]

    def associate(self, x: Any, y: Tensor) -> list[LayerOutput]:
        """Return every layer's ``(s, t, losses)`` of training, to look at; it updates nothing."""
        s, t, outputs = x, self.target.encode(y), []
        for layer in self.al_layers():
            s, t, losses = layer(s, t)
            outputs.append(LayerOutput(s, t, losses))
        return outputs

    def forward(self, x: Any, depth: int | None = None) -> Tensor:
        """Algorithm 3: ``f_1 .. f_l``, then ``b_l``, then ``h_l .. h_1``.

        Args:
            x: A batch of inputs, ``s_0``.
            depth: ``l``, 1 to `num_layers`; all layers by default.

        Returns:
            ``t'_0``, ``[B, target.size]``: logits, or values near ``t_0`` for squared errors.
        """
        depth = self.check_depth(depth)
        s = encode(self.encoders()[:depth], x)
        return self.decode(self.al_layers()[depth - 1].bridge(s), depth)

    def latents(self, x: Any) -> Iterator[Tensor]:
        """Yield ``s'_l = b_l(s_l)``, ``[B, D_l]``, of every layer in turn, sharing the encoders."""
        for layer, s in zip(self.al_layers(), encodings(self.encoders(), x), strict=True):
            yield layer.bridge(s)

    def exits(self, x: Any) -> Iterator[Tensor]:
        for depth, latent in enumerate(self.latents(x), start=1):
            yield self.decode(latent, depth)

    def decode(self, latent: Tensor, depth: int) -> Tensor:
        """Return ``t'_0 = h_1(.. h_l(s'_l))``, ``[B, target.size]``, of ``s'_l``, ``[B, D_l]``."""
        for layer in reversed(self.al_layers()[: self.check_depth(depth)]):
            latent = layer.h(latent)
        return latent

    def inference_modules(self, depth: int) -> list[nn.Module]:
        layers = self.al_layers()[: self.check_depth(depth)]
        decoders = [layer.h for layer in reversed(layers)]
        return [*self.encoders()[:depth], layers[-1].readout, layers[-1].b, *decoders]

    def prefix(self, depth: int) -> Prefix:
        """Return the stand-alone inference module of the first ``depth`` layers.

        It shares its parameters with this network; ``copy.deepcopy`` it to part them.
        """
        return Prefix(self.al_layers()[: self.check_depth(depth)])
