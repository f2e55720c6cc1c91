"""Rules of a fair comparison, as far as a program can check them, and who breaks which."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from reproduction.campaign.identity import same_but_vectors
from reproduction.paper.arms import ARMS
from reproduction.paper.rates import SHALLOW
from reproduction.report.cells import ENOUGH, Evidence, RowIndex
from reproduction.report.grids import broken_by_grids
from reproduction.report.training import is_capped, is_chosen_by_validation, shows_its_end

__all__ = ["broken_rules"]

_UNEVEN = 1  # seeds of one arm more than of another, as where a campaign is under way
Evidences = Mapping[str, Evidence | None]
# what may differ between AL and BP: how they are trained, and what is tuned of each
_TRAINING = frozenset({"method", "encoders", "lr", "latent", "latents", "association"})
_TUNED = frozenset({"weight_decay", "label_smoothing", "batch_size"})
# the paper gives its own network widths, and a head that reads otherwise
_NETWORK = {
    "bp": frozenset({"readout", "hidden", "head_hidden", "num_layers", "embedding_dim"}),
    SHALLOW: frozenset({"num_layers"}),
}


def broken_rules(index: RowIndex, found: Evidences) -> tuple[str, ...]:
    """Return what stands against saying who is ahead; nothing where the comparison is fair.

    Every arm needs three seeds or more and as many as the others, give or take one, none left out
    and no two of them the same run; all data that its tier declares; an epoch chosen by validation
    data; a training that patience ended (or, where a rate falls to nothing, whose best epoch is not
    the last); and the best learning rate of a grid that has it inside. Backpropagation has AL's
    word vectors and settings, each rate that AL was given, and no fewer settings in all.

    Args:
        index: All rows.
        found: The rows of each arm that is compared, with the same data and model.

    Example:
        >>> from reproduction.report.cells import RowIndex
        >>> broken_rules(RowIndex([]), {"bp-encoders": None})
        ("0 seeds of BP, AL's encoders",)
    """
    present = {arm: evidence for arm, evidence in found.items() if evidence is not None}
    seeds = {arm: 0 if one is None else len(one.rows) for arm, one in found.items()}
    few = tuple(
        f"{n} {'seed' if n == 1 else 'seeds'} of {_name(arm)}"
        for arm, n in seeds.items()
        if n < ENOUGH
    )
    uneven = () if max(seeds.values()) - min(seeds.values()) <= _UNEVEN else (_told(seeds),)
    each = (reason for pair in present.items() for reason in _of_evidence(*pair))
    return (
        *few,
        *(() if few else uneven),
        *each,
        *_of_settings(present),
        *broken_by_grids(index, present),
    )


def _told(seeds: Mapping[str, int]) -> str:
    return f"seeds: {', '.join(f'{_name(arm)} {n}' for arm, n in seeds.items())}"


def _of_evidence(arm: str, evidence: Evidence) -> Iterator[str]:
    name, rows = _name(arm), evidence.rows
    yield from _of_seeds(name, evidence)
    if not evidence.whole:
        yield f"{name} has a part of the data"
    capped = sum(map(is_capped, rows))
    if capped:
        yield f"the cap of epochs, not patience, ended {name} in {capped} of {len(rows)} runs"
    if not all(map(is_chosen_by_validation, rows)):
        yield f"the rows of {name} do not show that validation data chose the epoch"
    if not all(map(shows_its_end, rows)):
        yield f"the rows of {name} do not show that patience or the cap of epochs ended each run"


def _of_seeds(name: str, evidence: Evidence) -> Iterator[str]:
    """Yield what is wrong with the choice of seeds: one left out may be one that failed."""
    seeds = {row.seed for row in evidence.rows}
    lacking = sorted(set(range(max(seeds))) - seeds)
    if lacking:
        yield f"{name} lacks seeds below its highest: {', '.join(map(str, lacking))}"
    if evidence.repeated:
        told = ", ".join(map(str, evidence.repeated))
        yield f"seeds of {name} were run again, with another result: {told}"
    results = [row.result for row in evidence.rows]
    runs = {str((one.validation_curve, one.test_scores, one.answers)) for one in results}
    if len(runs) < len(results):
        yield f"{len(results)} seeds of {name} are no more than {len(runs)} different runs"


def _of_settings(present: Mapping[str, Evidence]) -> Iterator[str]:
    """Yield in what backpropagation differs from AL, though only training and head should."""
    ours = next((one for arm, one in present.items() if ARMS[arm].is_al), None)
    if ours is None:
        return
    for arm, evidence in present.items():
        if ARMS[arm].is_al:
            continue
        free = _TRAINING | _TUNED | _NETWORK.get(arm, frozenset())
        one, other = _settings(ours), _settings(evidence)
        differing = sorted(name for name in set(one) - free if one[name] != other[name])
        if differing:
            yield f"{_name(arm)} differs from AL in {', '.join(differing)}"
        if _vectors(ours) != _vectors(evidence):
            yield f"{_name(arm)} has other word vectors than AL"


def _settings(evidence: Evidence) -> dict[str, object]:
    found = same_but_vectors(evidence.rows[0].config)
    assert found is not None  # a row that is read has settings of this version
    return dict(found)


def _vectors(evidence: Evidence) -> set[str]:
    files = (row.config.get("vectors") for row in evidence.rows)
    return {Path(file).name if file else "" for file in files}


def _name(arm: str) -> str:
    return ARMS[arm].title
