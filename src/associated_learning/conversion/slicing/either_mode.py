"""Slices for training, where a model's forward does something else in training mode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from torch import Tensor

from associated_learning.conversion.cutting.body import Cut, find_body
from associated_learning.conversion.cutting.candidates import best_time
from associated_learning.conversion.cutting.faults import faults_at, head_faults
from associated_learning.conversion.cutting.head import Head, head_begins
from associated_learning.conversion.slicing.program import LayerProgram
from associated_learning.conversion.slicing.script import Script
from associated_learning.conversion.slicing.slicing import make_programs
from associated_learning.conversion.tracing.arguments import Arguments
from associated_learning.conversion.tracing.call import Call, Recording
from associated_learning.conversion.tracing.flow import Flow
from associated_learning.conversion.tracing.record import record
from associated_learning.conversion.tracing.resizing import attributes_kept
from associated_learning.conversion.tracing.rows import Rows
from associated_learning.errors import AssociatedLearningError, ConversionError, Fault

__all__ = ["TrainingPrograms", "training_programs"]

_DRAWN = "LayerDrop, stochastic depth"
_SEEDS = 4  # runs that show whether a forward draws which way it takes


class TrainingPrograms(NamedTuple):
    """What the layers do in training.

    Attributes:
        programs: One a layer; None if it is what they do in evaluation.
        constants: Tensors that no module has registered, by path.
        notes: What to say of it.
        left_out: The module whose way in training they do not take; empty if there is none.
    """

    programs: list[LayerProgram] | None
    constants: dict[str, Tensor]
    notes: tuple[str, ...]
    left_out: str = ""


class _Found(NamedTuple):
    script: Script
    cuts: list[Cut]


def training_programs(
    script: Script,
    cuts: Sequence[Cut],
    arguments: Arguments,
    head: Head,
    fewer: Mapping[str, Tensor],
) -> TrainingPrograms:
    """Return what layers do in training, by runs of the model in training mode.

    Where its forward draws which way it takes (LayerDrop), or it does not run in training on the
    example, they do what they do in evaluation, and the notes say so.

    Args:
        script: The steps of the run in evaluation mode.
        cuts: The cuts, the last at the head.
        arguments: How a batch becomes the model's inputs.
        head: The head.
        fewer: Fewer samples, which show at less cost that nothing differs in training.

    Raises:
        ConversionError: Its forward cannot be taken apart there.
    """
    own, how = script.recording, (script, cuts, arguments, head)
    if arguments.count(fewer) > 1:
        with suppress(Exception):  # what the model raises on them, it may raise on all of them
            run = _again(own, 0, arguments.call(fewer))
            found = _find(run, *how)
            if found.script.steps == script.steps:
                return _like_evaluation()._replace(notes=_uncheckpointed(run, found.script))
    try:
        run = _again(own, 0)
    except Exception as error:  # BatchNorm on too small an example, or a model that wants labels
        return _like_evaluation(
            f"the model does not run in training mode on the example ({_first_line(error)}): what "
            "its forward does in training alone was not seen"
        )
    times = [cut.time for cut in cuts]
    place = _differs(own.root, run.root, times) or "the model itself"
    try:
        found = _find(run, *how)
    except AssociatedLearningError as error:
        other = [_again(own, seed) for seed in range(1, _SEEDS)]
        if any(_differs(run.root, again.root, times) for again in other):
            return _like_evaluation(place, _DRAWN)
        if _is_found(_again(own, in_training=False), how):
            raise ConversionError([_untrained(place, _first_line(error))]) from error
        return _like_evaluation()  # it keeps what an earlier run made, in evaluation as well
    unkept = _uncheckpointed(run, found.script)
    if found.script.steps == script.steps:
        return _like_evaluation()._replace(notes=unkept)
    for seed in range(1, _SEEDS):
        if not _takes_the_same_way(found, _again(own, seed), how):
            return _like_evaluation(place, _DRAWN)
    programs = make_programs(found.script, found.cuts, arguments)
    note = f"in training, the forward of {place} takes another way, and the layers take it too"
    return TrainingPrograms(programs, found.script.constants, (note, *unkept))


def _untrained(place: str, why: str) -> Fault:
    return Fault(
        place,
        f"in training its forward takes another way, which its layers could not ({why})",
        "Cut so that this module is in one layer as a whole, or move that part into a module of "
        "its own.",
    )


def _uncheckpointed(run: Recording, script: Script) -> tuple[str, ...]:
    """Return a note if forwards that are taken apart compute parts anew in the backward pass."""
    places = [
        call.place for call in run.root.walk() if call.checkpoints and id(call) in script.open
    ]
    if not places:
        return ()
    return (
        f"the checkpoints of {places[0]} are left out: its layers keep what they compute for the "
        "backward pass, which needs more memory and no second forward pass",
    )


def _is_found(run: Recording, how: Any) -> bool:
    with suppress(AssociatedLearningError):
        return bool(_find(run, *how))
    return False


def _takes_the_same_way(found: _Found, run: Recording, how: Any) -> bool:
    with suppress(AssociatedLearningError):
        return bool(_find(run, *how).script.steps == found.script.steps)
    return False


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1].strip(" -") if str(error) else type(error).__name__


def _like_evaluation(what: str = "", why: str = "") -> TrainingPrograms:
    said = (
        f"in training, the forward of {what} takes another way ({why}); the layers always take "
        "that of evaluation"
        if why
        else what
    )
    return TrainingPrograms(None, {}, (said,) if said else (), what if why else "")


def _again(
    own: Recording, seed: int = 0, given: Any = None, *, in_training: bool = True
) -> Recording:
    args, kwargs = given or (own.root.args, own.root.kwargs)
    with attributes_kept(own.model):
        return record(own.model, args, kwargs, own.inputs, in_training=in_training, seed=seed)


def _find(
    run: Recording, script: Script, cuts: Sequence[Cut], arguments: Arguments, head: Head
) -> _Found:
    """Cut a run in training mode where the run in evaluation mode is cut.

    Raises:
        ConversionError: It cannot be cut there.
    """
    flow = Flow(run, arguments.data(run.inputs))
    body = find_body(flow, head_begins(run, head), Rows(run))
    known, calls = script.recording.by_path(), run.by_path()
    places: list[Cut] = []
    faults = head_faults(body)
    for cut in cuts[:-1]:
        call = calls.get(cut.name)
        if call is None:
            faults.append(Fault(cut.name, "it is not called in training", "Cut elsewhere."))
            continue
        after = cut.time == known[cut.name].end + 1
        time = call.end + 1 if after else best_time(body, call)
        faults += faults_at(body, cut.name, time)
        s = body.activation(time)
        if s is not None:
            places.append(Cut(cut.name, time, s))
    if faults:
        raise ConversionError(faults)
    places.append(Cut("the head", body.end, body.features))
    found = Script(body, [cut.time for cut in places])
    if found.faults:
        raise ConversionError(found.faults)
    return _Found(found, places)


def _differs(call: Call, other: Call, times: Sequence[int]) -> str:
    """Return the place of the first taken-apart forward that makes other calls in training."""
    if not any(call.begin < time <= call.end for time in times):
        return ""
    calls = [child for child in call.children if child.begin < times[-1]]
    for child, twin in zip(calls, other.children, strict=False):
        if child.target != twin.target:
            return call.place
        inside = _differs(child, twin, times)
        if inside:
            return inside
    return call.place if len(other.children) != len(call.children) else ""
