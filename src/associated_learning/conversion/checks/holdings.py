"""Which parameters are in which layer: each of them the model's own, and in one layer alone."""

from __future__ import annotations

from torch.nn import Parameter

from associated_learning.conversion.checks.check import Check
from associated_learning.conversion.checks.subject import Subject

__all__ = ["check_holdings", "owners"]


def owners(subject: Subject) -> dict[int, int]:
    """Return the layer of each parameter, counted from 0, by the parameter's id."""
    found: dict[int, int] = {}
    for i, encoder in enumerate(subject.encoders):
        for parameter in encoder.parameters():
            found.setdefault(id(parameter), i)
    return found


def check_holdings(subject: Subject) -> list[Check]:
    """Check that no layer trains a copy, or what another layer trains too."""
    own = {id(parameter) for parameter in subject.model.parameters()}
    first = owners(subject)
    return [
        _held(subject, i, dict(encoder.named_parameters()), own, first)
        for i, encoder in enumerate(subject.encoders)
    ]


def _held(
    subject: Subject, i: int, held: dict[str, Parameter], own: set[int], first: dict[int, int]
) -> Check:
    claim = f"layer {i + 1} holds the model's own parameters"
    copied = [n for n, p in held.items() if id(p) not in own and p.requires_grad]
    if copied:
        return Check(
            claim,
            False,
            f"it holds copies of {_some(copied)}: trained, they would leave the model's own as "
            "they are",
            subject.place(i),
            "Cut so that all uses of the module that holds them are in one layer; or, where a "
            "layer was copied on purpose, load its weights into the network that it came from.",
        )
    twice = [name for name, parameter in held.items() if first[id(parameter)] != i]
    if twice:
        other = first[id(held[twice[0]])] + 1
        return Check(
            claim,
            False,
            f"it shares {_some(twice)} with layer {other}",
            subject.place(i),
            "Cut so that all uses of a parameter are in one layer.",
        )
    return Check(claim, True, f"{len(held)} of them, in no other layer")


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{names[0]}{more}"
