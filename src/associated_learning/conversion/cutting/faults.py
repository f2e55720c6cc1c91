"""Why a place cannot be cut."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from associated_learning.conversion.cutting.body import Body, place_of
from associated_learning.conversion.tracing.call import Recording, first_tensor
from associated_learning.conversion.tracing.flow import Value
from associated_learning.conversion.tracing.record import record
from associated_learning.conversion.tracing.resizing import buffers_kept
from associated_learning.errors import Fault

__all__ = ["faults_at", "head_faults"]


def faults_at(body: Body, name: str, time: int, *, any_size: bool = False) -> list[Fault]:
    """Return all that forbids a cut.

    Args:
        body: What is cut.
        name: What to call the place.
        time: Its time.
        any_size: Whether layers must take inputs of every size that the model takes; else they
            may ask for sizes like the example's, and say so when others come.
    """
    found = [
        *_jumps(body, name, time),
        *_shared(body, name, time),
        *_updated(body, name, time),
        *_untrained(body, name, time),
        *_stream(body, name, body.activation(time)),
        *_opening(body, time, any_size=any_size),
    ]
    return list(dict.fromkeys(found))


def head_faults(body: Body) -> list[Fault]:
    """Return all that forbids that the head is left out where it begins."""
    found = [
        *_stream(body, "the head", body.features),
        *_opening(body, body.end, any_size=False),
    ]
    return list(dict.fromkeys(found))


def _jumps(body: Body, name: str, time: int) -> Iterator[Fault]:
    found = body.activations(time)
    if not found:
        yield Fault(
            name,
            "no activation flows over this cut: nothing before it both holds parameters and "
            "sees the data",
            "Cut later.",
        )
    main = max(found, key=lambda value: value.born, default=None)
    for value in found:
        if value is main:
            continue
        user = value.first_use(time)
        assert value.maker is not None
        assert user is not None
        maker, consumer = place_of(value.maker), place_of(user.call, after=True)
        shape = list(value.tensor.shape)
        yield Fault(
            name,
            f"a connection jumps over this cut: what {maker} makes, {shape}, is used by {consumer}",
            f"Cut before {maker} or after {consumer}, so that both ends are in one layer.",
        )


def _shared(body: Body, name: str, time: int) -> Iterator[Fault]:
    owners: dict[tuple[str, str], list[str]] = {}
    for key, value in body.crossing:
        if value.sources and value.crosses(time, body.end):
            owners.setdefault(_users(value, time), []).append(body.flow.names[key])
    for (before_name, after_name), names in owners.items():
        weights = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
        yield Fault(
            name,
            f"{weights} would belong to the layers on both sides: used by {before_name} before "
            f"this cut and by {after_name} after it (shared or tied weights)",
            "Cut where all uses are on one side, or give each layer a copy of its own "
            "(copy.deepcopy of the module, which unties them).",
        )


def _updated(body: Body, name: str, time: int) -> Iterator[Fault]:
    for key, value in body.crossing:
        if value.sources or not value.crosses(time, body.end) or key not in body.flow.updated:
            continue
        before, after = _users(value, time)
        yield Fault(
            name,
            f"the buffer {body.flow.names[key]} is updated across this cut: used by {before} "
            f"before it and by {after} after it",
            "Cut where all uses are on one side.",
        )


def _untrained(body: Body, name: str, time: int) -> Iterator[Fault]:
    """What acts only on side inputs below a cut gets no gradient from the loss below it."""
    reached = 0
    for activation in body.activations(time):
        reached |= activation.sources
    if not reached or not body.used_before(time) & body.features.sources & ~reached:
        return
    for key, value in body.flow.state.items():
        lost = value.sources & body.features.sources & ~reached
        if lost and value.last_use(time) is not None:
            yield Fault(
                name,
                f"{body.flow.names[key]} is used before this cut, but acts only on what is used "
                "after it, so that no layer would train it",
                "Cut after the first module that uses what it makes.",
            )


def _stream(body: Body, name: str, s: Value | None) -> Iterator[Fault]:
    """Yield why an activation cannot be what a bridge reads."""
    if s is None:
        return
    shape, batch = list(s.tensor.shape), body.rows.count
    if s.tensor.is_complex():
        yield Fault(
            name,
            f"the activation here, {shape}, is complex, and a bridge reads real numbers",
            "Cut before or after the module that computes in complex numbers, or let it return "
            "torch.view_as_real(...).",
        )
    if batch not in s.tensor.shape:
        yield Fault(
            name,
            f"the activation here, {shape}, has no axis for the {batch} samples of the example "
            "(samples are folded into another axis, windows for example)",
            "Cut before or after the module that folds them.",
        )
    elif not body.rows.follow(s.tensor) and _is_drawn(body.flow.recording):
        yield Fault(
            name,
            f"the activation here, {shape}, is drawn at random in evaluation mode, too (a dropout "
            "that is always on, or noise)",
            "Turn that off in evaluation: F.dropout(x, p, self.training), if self.training: ...",
        )
    elif not body.rows.follow(s.tensor):
        yield Fault(
            name,
            f"the rows of the activation here, {shape}, are not the samples in their order: "
            "changing one sample changes other rows too, or the batch is sorted, or samples are "
            "folded into another axis, or the input's first axis is not the batch",
            "Cut before or after the part that does so, or pass inputs whose first axis is the "
            "batch.",
        )


def _is_drawn(recording: Recording) -> bool:
    """Whether other random numbers give another answer."""
    root = recording.root
    with buffers_kept(recording.model):
        again = record(recording.model, root.args, root.kwargs, recording.inputs, seed=1)
    one, other = first_tensor(root.output), first_tensor(again.root.output)
    return one is not None and other is not None and not torch.equal(one, other)


def _users(value: Value, time: int) -> tuple[str, str]:
    """Return the names of the modules that use a tensor last before a time and first after it."""
    before, after = value.last_use(time), value.first_use(time)
    assert before is not None
    assert after is not None
    return place_of(before.call), place_of(after.call)


def _opening(body: Body, time: int, *, any_size: bool) -> Iterator[Fault]:
    """Yield why the modules that a cut takes apart cannot be; what they do must be repeatable."""
    for call in body.opening.opened([time]):
        for found in body.unrepeatable.get(id(call), []):
            if found.time < body.end and (any_size or not found.guarded):
                yield found.fault
