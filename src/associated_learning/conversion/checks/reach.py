"""Which inputs reach each bridge: told by changing one input after the other."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from associated_learning.conversion.checks.alterations import rolled
from associated_learning.conversion.checks.check import Check
from associated_learning.conversion.checks.subject import Subject

__all__ = ["check_reach"]


def check_reach(subject: Subject, inputs: Mapping[str, Tensor]) -> list[Check]:
    """Check that the data reach every bridge, and say which inputs do.

    Each input is given the next sample's values in evaluation, while the others stay. Inputs
    that are the same for all samples, or alike in the batch, are not tried.
    """
    names: list[list[str]] = [[] for _ in subject.encoders]
    tried: list[str] = []
    with subject.mode(False):
        before = subject.read(inputs)
        for name in inputs:
            changed = rolled(subject.arguments, inputs, name)
            if changed is None:
                continue
            tried.append(name)
            try:
                after = subject.read(changed)
            except (RuntimeError, ValueError, IndexError):
                continue  # inputs that belong together: lengths and what they are lengths of
            for found, old, new in zip(names, before, after, strict=True):
                if not torch.equal(old, new):
                    found.append(name)
    return [_reached(subject, i, found, tried) for i, found in enumerate(names)]


def _reached(subject: Subject, i: int, found: list[str], tried: list[str]) -> Check:
    claim = f"the data reach bridge {i + 1}"
    if tried and not found:
        evidence = f"none of {', '.join(tried)} changes what the bridge reads"
        return Check(claim, False, evidence, subject.place(i), "Give it another readout=.")
    return Check(claim, True, ", ".join(found) if found else "all samples are alike")
