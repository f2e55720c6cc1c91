"""Other batches: the chained layers compute what the model does on sizes that it was not shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from associated_learning.conversion.checks.alterations import repeated, resized
from associated_learning.conversion.checks.check import Check
from associated_learning.conversion.checks.subject import KEEP_WHOLE, Subject
from associated_learning.conversion.tracing.guards import GuardError

__all__ = ["check_batches"]

_COUNTS = (1, 2, 3, 5)


def check_batches(subject: Subject, inputs: Mapping[str, Tensor]) -> list[Check]:
    """Compare the layers' features with the model's, bit for bit, in evaluation.

    On one, two, three and five samples, and on as many samples of half, three quarters and
    twice the positions or pixels; sizes that the model does not take are left out.
    """
    checks = []
    with subject.mode(False):
        for what, batch in _others(subject, inputs):
            try:
                subject.restart()
                expected = subject.features(batch)
            except Exception:  # the model itself does not take this size, for whatever reason
                continue
            checks.append(_compared(subject, what, batch, expected))
    return checks


def _others(
    subject: Subject, inputs: Mapping[str, Tensor]
) -> Iterator[tuple[str, dict[str, Tensor]]]:
    for count in _COUNTS:
        yield f"{count} sample{'s' * (count > 1)}", repeated(subject.arguments, inputs, count)
    for share in (0.5, 0.75, 2.0):
        for what, batch in resized(subject.arguments, inputs, share):
            yield f"{share:g} {what}", batch


def _compared(subject: Subject, what: str, batch: Mapping[str, Tensor], expected: Tensor) -> Check:
    claim = f"encoders give the model's features, {what}"
    subject.restart()
    try:
        found = subject.streams(batch)[-1].values
    except GuardError as error:
        return Check(claim, True, f"refused, not computed: {error}")
    except (RuntimeError, ValueError, TypeError, IndexError, KeyError) as error:
        return Check(claim, False, f"the layers fail: {error}", remedy=KEEP_WHOLE)
    if found.shape != expected.shape:
        evidence = f"shape {list(found.shape)} instead of {list(expected.shape)}"
        return Check(claim, False, evidence, remedy=KEEP_WHOLE)
    if not torch.equal(torch.nan_to_num(found), torch.nan_to_num(expected)):
        evidence = f"they differ by up to {float((found - expected).abs().max()):.3g}"
        return Check(claim, False, evidence, remedy=KEEP_WHOLE)
    return Check(claim, True, f"{list(expected.shape)}, same bits")
