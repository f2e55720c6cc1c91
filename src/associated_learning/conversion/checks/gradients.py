"""Gradients: every parameter of the chained layers learns what it would learn in the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from associated_learning.conversion.checks.check import Check
from associated_learning.conversion.checks.holdings import owners
from associated_learning.conversion.checks.subject import KEEP_WHOLE, Subject
from associated_learning.tensors.nested import detach

__all__ = ["check_gradients"]

_Gradients = dict[str, Tensor | None]
_EXACT = (torch.float32, torch.float64, torch.complex64, torch.complex128)


def check_gradients(
    subject: Subject,
    inputs: Mapping[str, Tensor],
    *,
    in_training: bool,
    most: int | None = None,
) -> list[Check]:
    """Compare values and gradients of the chained layers with those of the model itself.

    One loss, a random direction of the features, is taken of both, with the same random numbers.

    Args:
        subject: Model and layers.
        inputs: A batch; in training of two samples or more, for BatchNorm.
        in_training: The mode that both are in.
        most: Leave out parameters of more numbers than this, which take time; None: none.

    Returns:
        One check; none, if the model itself cannot be run so, or cannot be differentiated though
        each layer by itself can.
    """
    parameters = {
        name: parameter
        for name, parameter in subject.model.named_parameters()
        if parameter.requires_grad and (most is None or parameter.numel() <= most)
    }
    claim = f"layers learn as the model does, in {'training' if in_training else 'evaluation'}"
    with subject.mode(in_training, gradients=True):
        try:
            subject.restart()
            features = subject.features(inputs, in_training=in_training)
            direction = torch.randn_like(features)
            wanted = _gradients(features, direction, parameters, subject.model)
        except Exception:  # whatever the model's own forward raises in this mode, on this batch
            return _overwritten(subject, inputs, claim)
        subject.restart()
        try:
            found = subject.streams(inputs)[-1].values
            if not _alike(found, features):
                return [_other_values(claim, found, features, in_training)]
            got = _gradients(found, direction, parameters, subject.model)
        except (RuntimeError, ValueError, TypeError, IndexError, KeyError) as error:
            return [_failed(claim, str(error), in_training)]
    return [_judged(subject, claim, wanted, got, parameters)]


def _gradients(
    features: Tensor, direction: Tensor, parameters: Mapping[str, Parameter], model: nn.Module
) -> _Gradients:
    """Return the gradients of ``<features, direction>``; all None, if nothing asks for one."""
    if not features.requires_grad or not parameters:
        return dict.fromkeys(parameters)
    loss = (features * direction).real.sum()
    own = list(parameters.values())
    try:
        found = torch.autograd.grad(loss, own, allow_unused=True, retain_graph=True)
    except RuntimeError as error:
        if "use_reentrant" not in str(error):  # checkpoints of that kind want .backward() alone
            raise
        return dict(zip(parameters, _accumulated(loss, own, model), strict=True))
    return dict(zip(parameters, found, strict=True))


def _accumulated(
    loss: Tensor, parameters: list[Parameter], model: nn.Module
) -> list[Tensor | None]:
    """Return gradients as ``backward`` leaves them; those of the model stay as they were."""
    kept = [(parameter, parameter.grad) for parameter in model.parameters()]
    try:
        model.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        return [parameter.grad for parameter in parameters]
    finally:
        for parameter, gradient in kept:
            parameter.grad = gradient


def _overwritten(subject: Subject, inputs: Mapping[str, Tensor], claim: str) -> list[Check]:
    """Return that a layer by itself cannot be differentiated, as it writes into what that needs."""
    subject.restart()
    s: Any = dict(inputs)
    for i, encoder in enumerate(subject.encoders):
        try:
            found = encoder(s)
            own = [one for one in encoder.parameters() if one.requires_grad]
            if own and found.values.requires_grad:
                torch.autograd.grad(found.values.real.sum(), own, allow_unused=True)
        except RuntimeError as error:
            if "modified by an inplace operation" not in str(error):
                return []
            evidence = (
                "neither the model nor this layer can be trained: a forward writes into an "
                "activation which the gradient of another call needs"
            )
            remedy = "Write h = h + f(h) in the place of h += f(h); and ReLU(inplace=False)."
            return [Check(claim, False, evidence, subject.place(i), remedy)]
        except Exception:  # as of the model itself
            return []
        s = detach(found)
    return []


def _alike(found: Tensor, expected: Tensor) -> bool:
    if found.shape != expected.shape:
        return False
    tolerance = 1e-4 if expected.dtype in _EXACT else 5e-2
    scale = float(torch.nan_to_num(expected.detach().abs().float(), posinf=0.0).max())
    return torch.allclose(
        found.detach(), expected.detach(), rtol=tolerance, atol=tolerance * scale, equal_nan=True
    )


def _other_values(claim: str, found: Tensor, expected: Tensor, in_training: bool) -> Check:
    if found.shape != expected.shape:
        apart = f"of shape {list(found.shape)} instead of {list(expected.shape)}"
    else:
        apart = f"off by up to {float((found - expected).detach().abs().max()):.3g}"
    mode = "training" if in_training else "evaluation"
    return Check(
        claim,
        False,
        f"in {mode} mode the layers' features are {apart} with the same random numbers: a forward "
        f"that is taken apart does something in {mode} that the layers do not",
        remedy=KEEP_WHOLE,
    )


def _failed(claim: str, why: str, in_training: bool) -> Check:
    mode = "training" if in_training else "evaluation"
    return Check(
        claim,
        False,
        f"in {mode} mode the model can be differentiated, but its layers cannot ({why}): a "
        f"forward that is taken apart does something in {mode} that the layers do not",
        remedy=KEEP_WHOLE,
    )


def _judged(
    subject: Subject,
    claim: str,
    wanted: _Gradients,
    got: _Gradients,
    parameters: Mapping[str, Parameter],
) -> Check:
    scale = max(
        (float(g.abs().max()) for g in wanted.values() if g is not None and g.numel()), default=0.0
    )
    wrong = [name for name in wanted if not _equal(wanted[name], got[name], scale)]
    if not wrong:
        return Check(claim, True, f"values, and gradients of {len(wanted)} parameters")
    layers = owners(subject)
    name = max(wrong, key=lambda name: layers.get(id(parameters[name]), -1))
    layer = layers.get(id(parameters[name]))
    more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
    if layer is None:
        evidence = f"{name}{more} acts on the features, but is in no layer"
        return Check(claim, False, evidence, remedy=KEEP_WHOLE)
    sizes = [0.0 if g is None else float(g.norm()) for g in (wanted[name], got[name])]
    evidence = (
        f"the gradient of {name}{more} is another than the model's (of size {sizes[1]:.3g} "
        f"instead of {sizes[0]:.3g}): a backward of its own, a write, or a use is lost"
    )
    return Check(claim, False, evidence, subject.place(layer), KEEP_WHOLE)


def _equal(wanted: Tensor | None, got: Tensor | None, scale: float) -> bool:
    if wanted is None and got is None:
        return True
    some = wanted if wanted is not None else got
    assert some is not None
    if some.is_sparse:
        return (
            wanted is not None
            and got is not None
            and torch.allclose(wanted.to_dense(), got.to_dense(), rtol=1e-3)
        )
    wanted = torch.zeros_like(some) if wanted is None else wanted
    got = torch.zeros_like(some) if got is None else got
    if not wanted.numel():
        return True
    tolerance = 1e-3 if some.dtype in _EXACT else 1e-1
    apart = (wanted - got).abs().max()
    return bool(apart <= tolerance * wanted.abs().max() + 1e-2 * tolerance * scale) or not bool(
        torch.isfinite(wanted).all()
    )
