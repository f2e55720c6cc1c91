"""Rules of a fair comparison: each is broken alone, on made-up ledgers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from associated_learning.runs.ledger.rows import LedgerRow
from ledger_rows import made_row
from reproduction.campaign.rates import GRID as TUNED_GRID
from reproduction.campaign.rates import with_rate
from reproduction.paper import variants
from reproduction.paper.data_paths import DataPaths
from reproduction.paper.rates import COMPARED, GRID, SHALLOW, compared_arms
from reproduction.paper.runs import Run
from reproduction.report.cells import Evidence, RowIndex
from reproduction.report.choice import choices
from reproduction.report.comparison import Comparison, compare_all
from reproduction.report.fairness import broken_rules
from reproduction.report.training import is_capped
from reproduction.report.tuned import tuned_lines

PLACES = DataPaths(vectors="glove.6B.100d.txt")
ACCURACIES = {"bp": 0.80, "bp-encoders": 0.82, "bp-shallow": 0.84, "al": 0.86, "contrast": 0.84}
SAMPLES = {"train_samples": 4_000, "train_pool": 50_000, "test_samples": 10_000}
Change = Callable[[str, float, int], dict[str, Any] | None]


def cnn_row(run: Run, seed: int, *, tier: str = "cpu", **told: Any) -> LedgerRow:
    config = run.config(tier, seed, PLACES)
    return made_row(
        experiment="rates", data=run.data, model=run.model, method=config.method, variant=run.arm,
        seed=seed, commit="c", config=config.to_json(), hardware="h", torch="t", seconds=1.0,
        tier=tier, **{**SAMPLES, "epochs": 8, **told},
    )  # fmt: skip


def ledger(change: Change, seeds: int = 3) -> list[LedgerRow]:
    """Return the grid of rates of CIFAR-10's CNN, three seeds a rate, all fair but for a change."""
    rows = []
    for arm in COMPARED:
        own = Run(data="cifar10", model="cnn", arm=arm).config("cpu", 0, PLACES).lr
        for rate in GRID:
            for seed in range(seeds):
                score = ACCURACIES[arm] - abs(rate - own) * 10 + 0.001 * seed
                told = {
                    "best_epoch": 2,
                    "validation": [score],
                    "test": [score],
                    "validation_curve": [[score - 0.1], [score], *[[score - 0.1]] * 6],
                }
                changed = change(arm, rate, seed)
                if changed is not None:
                    run = Run(data="cifar10", model="cnn", arm=arm, extra=(("lr", rate),))
                    rows.append(cnn_row(run, seed, **{**told, **changed}))
    return rows


def compared(change: Change, arm: str = "al") -> Comparison:
    (found,) = compare_all(RowIndex(ledger(change)), "cpu", arm)
    return found


def test_a_fair_comparison_is_with_the_better_backpropagation() -> None:
    found = compared(lambda arm, rate, seed: {})
    assert (found.broken, found.verdict, found.hint) == ((), "ahead", True)
    assert found.baseline == "bp-encoders"
    assert found.difference == pytest.approx(4)
    assert sorted(found.differences)[0] == pytest.approx(4 - 0.2)
    assert len(found.differences) == 9


def test_validation_data_choose_the_backpropagation() -> None:
    found = compared(lambda arm, rate, seed: {"test": [0.9]} if arm == "bp" else {})
    assert found.baseline == "bp-encoders"  # though the other would be better on test data


def best_in(epoch: int) -> dict[str, Any]:
    """Return a curve of eight epochs, of which one is the best."""
    curve = [[0.8] if number == epoch else [0.1] for number in range(1, 9)]
    return {"best_epoch": epoch, "validation_curve": curve}


BROKEN: list[tuple[str, Change]] = [
    ("0 seeds of BP, AL's encoders", lambda arm, rate, seed: None if arm == "bp-encoders" else {}),
    ("2 seeds of AL", lambda arm, rate, seed: None if (arm, seed) == ("al", 2) else {}),
    (
        # of eight epochs and a patience of three the fifth still leaves patience its say
        "the cap of epochs, not patience, ended BP, the paper's network in 2 of 3 runs",
        lambda arm, rate, seed: best_in(5 + seed) if arm == "bp" else {},
    ),
    (
        "do not show that validation data chose",
        lambda arm, rate, seed: {"best_epoch": 1} if arm == "al" else {},
    ),
    (  # a score that no epoch had
        "rows of BP, AL's encoders do not show that validation data chose",
        lambda arm, rate, seed: {"validation": [0.9]} if arm == "bp-encoders" else {},
    ),
    (
        "rows of AL (Equation 3) do not show that patience or the cap of epochs ended",
        lambda arm, rate, seed: (
            {"epochs": 2, "validation": [0.8], "validation_curve": [[0.1], [0.8]]}
            if arm == "al"
            else {}
        ),
    ),
    (  # a seed that is left out may be one that failed
        "AL (Equation 3) lacks seeds below its highest: 1",
        lambda arm, rate, seed: None if (arm, seed) == ("al", 1) else {},
    ),
    (
        "the rate of BP, AL's encoders was chosen on other data",
        lambda arm, rate, seed: (
            {"train_pool": 40_000} if (arm, rate) == ("bp-encoders", 2e-3) else {}
        ),
    ),
    (
        "3 seeds of BP, the paper's network are no more than 1 different runs",
        lambda arm, rate, seed: {**best_in(2), "test": [0.8]} if arm == "bp" else {},
    ),
    (  # as many rates, but others
        "BP, the paper's network was not given rates that AL was: 0.002",
        lambda arm, rate, seed: None if (arm, rate) in {("bp", 2e-3), ("al", 2.5e-4)} else {},
    ),
    (
        "the grid of BP, AL's encoders has a step of more than two beside its best rate, 0.001",
        lambda arm, rate, seed: None if (arm, rate) == ("bp-encoders", 5e-4) else {},
    ),
    (
        "the cap of epochs ended 1 of 4 runs that chose the rate of BP, AL's encoders",
        lambda arm, rate, seed: best_in(8) if (arm, rate) == ("bp-encoders", 2e-3) else {},
    ),
    ("settings tried: ", lambda arm, rate, seed: None if (arm, rate) == ("bp", 2e-3) else {}),
    (
        "the best rate of AL (Equation 3), 0.002, is at the edge",
        lambda arm, rate, seed: {"validation": [0.99]} if (arm, rate) == ("al", 2e-3) else {},
    ),
    (
        "BP, AL's encoders has not its best rate, 0.002",
        lambda arm, rate, seed: (
            {"validation": [0.99]} if (arm, rate) == ("bp-encoders", 2e-3) else {}
        ),
    ),
]


@pytest.mark.parametrize(("reason", "change"), BROKEN, ids=[reason for reason, _ in BROKEN])
def test_a_broken_rule_is_named_and_claims_no_lead(reason: str, change: Change) -> None:
    found = compared(change)
    assert any(reason in why for why in found.broken), found.broken
    assert found.verdict == "not yet fair"


def test_a_run_that_was_made_again_does_not_pass_for_the_first() -> None:
    rows = ledger(lambda arm, rate, seed: {})
    own = next(row for row in rows if (row.variant, row.seed) == ("al", 1) and has_own_rate(row))
    again = made_row(own.to_json(), test=[0.99])
    (found,) = compare_all(RowIndex([*rows, again]), "cpu")
    assert found.broken == ("seeds of AL (Equation 3) were run again, with another result: 1",)
    assert compared(lambda arm, rate, seed: {}).broken == ()


@pytest.mark.parametrize(("more", "fair"), [(4, True), (5, False)])
def test_runs_are_not_added_until_the_mean_of_one_arm_pleases(more: int, fair: bool) -> None:
    rows = ledger(lambda arm, rate, seed: {} if arm == "al" or seed < 3 else None, more)
    (found,) = compare_all(RowIndex(rows), "cpu")
    told = f"seeds: AL (Equation 3) {more}, BP, the paper's network 3, BP, AL's encoders 3"
    assert found.broken == (() if fair else (told,))


def has_own_rate(row: LedgerRow) -> bool:
    run = Run(data="cifar10", model="cnn", arm=row.variant)
    return bool(row.config["lr"] == run.config("cpu", 0, PLACES).lr)


def test_backpropagation_with_other_settings_or_vectors_is_named() -> None:
    found = {}
    for arm, changed in (("al", {}), ("bp-encoders", {"hidden": 7, "vectors": "other.txt"})):
        run = Run(data="sst2", model="bilstm", arm=arm)
        config = run.config("cpu", 0, DataPaths(vectors="glove.txt")).to_json()
        row = cnn_row(run, 0, best_epoch=1)
        rows = (made_row(row.to_json() | {"config": {**config, **changed}}),)
        found[arm] = Evidence(run=run, tier="cpu", rows=rows)
    broken = broken_rules(RowIndex([]), found)
    assert "BP, AL's encoders differs from AL in hidden" in broken
    assert "BP, AL's encoders has other word vectors than AL" in broken


@pytest.mark.parametrize(
    ("settings", "best", "capped"),
    [
        ({"patience": 3, "schedule": "constant"}, 5, False),
        ({"patience": 3, "schedule": "constant"}, 6, True),
        ({"patience": 0, "schedule": "cosine"}, 7, False),
        ({"patience": 0, "schedule": "cosine"}, 8, True),
        # a rate that does not fall tells by its own pause alone that training was long enough
        ({"patience": 0, "schedule": "constant"}, 5, False),
        ({"patience": 0, "schedule": "constant"}, 7, True),
    ],
)
def test_a_run_is_capped_if_more_epochs_might_have_helped(
    settings: dict[str, Any], best: int, capped: bool
) -> None:
    row = made_row(config={"epochs": 8, **settings}, epochs=8, best_epoch=best)
    assert is_capped(row) is capped


def test_a_loss_is_a_loss_though_a_rule_is_broken() -> None:
    def change(arm: str, rate: float, seed: int) -> dict[str, Any] | None:
        return None if arm == "bp-encoders" else {"test": [0.7 + seed / 100]} if arm == "al" else {}

    found = compared(change)
    assert found.broken
    assert found.verdict == "behind"


def tuned_ledger(
    seeds: int = 10, data: str = "cifar10", model: str = "cnn", arms: Sequence[str] = COMPARED
) -> list[LedgerRow]:
    """Return what the tuned tier makes of a cell where 5e-4 is best for all."""
    rows = []
    for arm in arms:
        run = Run(data=data, model=model, arm=arm)
        for rate in TUNED_GRID:
            score = ACCURACIES[arm] - abs(rate - 5e-4)
            told = {
                "best_epoch": 2,
                "validation_curve": [[0.1], [score], *[[0.1]] * 8],
                "epochs": 10,
            }
            for seed in range(seeds if rate == 5e-4 else 1):
                seen = {"validation": [score], "test": [score + seed / 1000]}
                rows.append(cnn_row(with_rate(run, rate), seed, tier="resampled", **told, **seen))
    return rows


def test_of_texts_a_smaller_network_is_an_opponent_too() -> None:
    cell = ("sst2", "transformer")
    (found,) = compare_all(RowIndex(tuned_ledger(3, *cell)), "resampled")
    assert found.broken == ("0 seeds of BP, AL's encoders, one layer",)
    rows = tuned_ledger(3, *cell, compared_arms("transformer"))
    (found,) = compare_all(RowIndex(rows), "resampled")
    assert (found.broken, found.baseline, found.tried) == ((), SHALLOW, (6, 6, 6, 6))
    assert found.difference == pytest.approx(2)
    assert found.other is not None
    assert found.other.mean == pytest.approx(82.1)  # of the next best on validation data


def test_the_tuned_tier_is_fair_and_takes_the_place_of_the_cpu_tiers_images() -> None:
    index = RowIndex(tuned_ledger() + ledger(lambda arm, rate, seed: {}))
    (found,) = compare_all(index, "resampled")
    assert (found.broken, found.verdict, found.hint) == ((), "ahead", False)
    assert (found.ours.n, found.theirs.n, found.tried) == (10, 10, (6, 6, 6))
    assert found.difference == pytest.approx(4)
    assert compare_all(index, "cpu") == []
    (line,) = [line for line in tuned_lines(index) if line[1] == "AL (Equation 3)"]
    assert line[2:5] == ("6, from 0.000125 to 0.004", "0", "lr 0.0005")


@pytest.mark.parametrize(("seeds", "cpu"), [(1, 1), (2, 1), (3, 0)])
def test_a_tier_of_few_seeds_takes_no_place(seeds: int, cpu: int) -> None:
    """Or a loss by the cpu tier would be gone for a hint of the other one."""
    index = RowIndex(tuned_ledger(seeds) + ledger(lambda arm, rate, seed: {}))
    assert len(compare_all(index, "cpu")) == cpu
    assert len(compare_all(index, "resampled")) == 1


def test_a_subset_that_is_not_its_seeds_own_is_another_run() -> None:
    rows = tuned_ledger()
    moved = [made_row(row.to_json() | {"config": {**row.config, "data_seed": 0}}) for row in rows]
    evidence = RowIndex(moved).evidence(Run(data="cifar10", model="cnn", arm="al"), "resampled")
    assert evidence is not None
    assert [row.seed for row in evidence.rows] == [0]


def test_a_variant_is_chosen_without_the_test_data() -> None:
    told = {"contrast": (0.8, 0.81), "bridge-mlp": (0.85, 0.7), "read-flatten": (0.84, 0.99)}
    rows = [
        cnn_row(
            Run(data="fashion_mnist", model="cnn", arm=arm), seed, best_epoch=1,
            validation=[validation], test=[test],
        )
        for arm, (validation, test) in told.items()
        for seed in range(3)
    ]  # fmt: skip
    (one,) = choices(variants.TABLE, RowIndex(rows), "cpu")
    assert one.chosen == "(c) bridge of two dense layers"
    assert (one.validation.mean, one.test.mean) == pytest.approx((85, 70))
    assert one.default.mean == pytest.approx(81)
