"""Every accuracy that README and docs show comes from a row of the ledger."""

from __future__ import annotations

import functools
from pathlib import Path
from statistics import mean, stdev

import pytest

import associated_learning as al
from associated_learning.runs.ledger.rows import LedgerRow, read_rows
from associated_learning.runs.networks.families import IMAGE_MODELS, build_network
from associated_learning.runs.networks.input_spec import InputSpec
from associated_learning.runs.settings.config import RunConfig
from associated_learning.runs.settings.resolved import restored
from ledger_rows import made_row
from published_tables import depths_table, growth_table, scores_table, variants_table
from reproduction.report.content import Content, make_content
from reproduction.report.names import name_of
from reproduction.report.numerals import spelled
from reproduction.report.pages import PAGES, parts_of, refreshed
from reproduction.report.summary import summary
from reproduction.report.text import counted, render_markdown

ROOT = Path(__file__).parents[1]
# settings that were tried and left out again (docs/results.md, "Variants"): a row's commit has them
RETIRED = {"normalize"}
# trees in which the learning rates of the tiers were set to the best of the grid that had just been
# run there; the next commit has the same
PATCHED = {"4a63306e4fe832bd529d1a198e4aa007c13859c9+"}


@functools.cache
def whole_ledger() -> list[LedgerRow]:
    return read_rows(ROOT / "results" / "ledger.jsonl")


def ledger(experiment: str) -> list[LedgerRow]:
    return [row for row in whole_ledger() if row.experiment == experiment]


def first_runs() -> list[LedgerRow]:
    return sorted(ledger("first-runs"), key=lambda row: (row.data, row.model, row.method))


def test_the_table_of_first_runs_is_the_ledgers() -> None:
    assert scores_table(first_runs()) in (ROOT / "docs/results.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def content() -> Content:
    """What the ledger says, without the pictures: `test_report` looks at those."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("reproduction.report.charts._uri", lambda canvas: "")
        return make_content(whole_ledger())


@pytest.mark.parametrize("name", PAGES)
def test_what_stands_between_marks_is_the_ledgers(name: str, content: Content) -> None:
    """`al report` would change nothing, and the marks are there."""
    page = (ROOT / name).read_text(encoding="utf-8")
    assert refreshed(page, parts_of(content)) == page


def test_every_comparison_is_shown(content: Content) -> None:
    assert {standing.tier for standing in content.standings} == {"cpu", "full", "resampled"}
    pages = "".join((ROOT / name).read_text(encoding="utf-8") for name in PAGES)
    for name in parts_of(content):
        assert f"<!-- ledger: {name} -->" in pages


def test_a_mark_of_another_name_is_refused() -> None:
    page = "<!-- ledger: tabel -->\nx\n<!-- ledger ends -->"
    with pytest.raises(al.InputError, match="mark 'ledger: tabel'; expected one of counts"):
        refreshed(page, {"counts": ""})


@pytest.mark.parametrize("name", ["docs/results.md", "docs/tables.md"])
def test_all_pages_count_by_one_function(name: str, content: Content) -> None:
    assert counted(content) in (ROOT / name).read_text(encoding="utf-8")


def test_the_summary_tells_every_verdict(content: Content) -> None:
    tuned, others = summary(content.standings).rsplit("\n", 1)
    found = [one for standing in content.standings for one in standing.comparisons]
    for one in found:
        part = tuned if one.tier == "resampled" else others
        told = f"{name_of(one.data, one.model)}" in part and f"{one.difference:+.2f}" in part
        assert told or (part is others and one.verdict == "not yet fair")
    left = sum(one.verdict == "not yet fair" for one in found if one.tier != "resampled")
    assert f"{spelled(left)} more break a rule" in others


def test_what_leads_on_images_take_is_the_ledgers(content: Content) -> None:
    titles = {one.arm: one.title for one in content.standings}
    leads = {
        (name_of(one.data, one.model), titles[one.arm])
        for standing in content.standings
        for one in standing.comparisons
        if one.verdict == "ahead" and one.model in IMAGE_MODELS
    }
    runs = [float(line[3]) for line in content.costs if line[:2] in leads]
    epochs = [
        float(line[4])
        for line in content.costs
        if line[1] in titles.values() and line[0].endswith(("CNN", "VGG"))
    ]
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"{min(runs):.1f} to {max(runs):.1f} times BP's training time" in readme
    told = f"{min(epochs):.1f} to {max(epochs):.1f} times BP's"
    assert f"an epoch of the image networks took {told}" in readme
    assert f"takes {told}" in (ROOT / "docs/results.md").read_text(encoding="utf-8")


def test_no_lead_is_claimed_that_breaks_a_rule(content: Content) -> None:
    for standing in content.standings:
        broken = {name for name, why in standing.broken if why}
        leads = {
            line[0] for line in standing.lines if line[-1].startswith(("ahead", "not told apart"))
        }
        assert not broken & leads
    assert content.counts.unfair == len(content.counts.unfair_cells)


def test_the_table_of_readouts_is_the_ledgers() -> None:
    page = (ROOT / "docs/results.md").read_text(encoding="utf-8")
    images = InputSpec(kind="image", num_classes=10, shape=(1, 28, 28))
    rows, parameters = ledger("readout"), {}
    for variant in ("pooled", "flatten", "average"):
        of_variant = [row for row in rows if row.variant == variant]
        assert [row.seed for row in of_variant] == [0, 1, 2]
        net = build_network(restored(of_variant[0].config), images)
        parameters[variant] = al.count_parameters(net).training
    assert variants_table(rows, parameters) in page
    assert all(row.result.commit[:7] in page for row in rows)


def test_the_table_of_fine_tuning_is_the_ledgers() -> None:
    page = (ROOT / "docs/convert.md").read_text(encoding="utf-8")
    rows = ledger("minilm")
    assert depths_table(rows, ["bp", "al-3", "al-6", "al-3-block", "al-6-block-2"]) in page
    assert all(row.result.commit[:7] in page for row in rows)


@pytest.mark.parametrize(
    ("data", "name", "chosen"),
    [("ag_news", "AG News", "weight-decay=0.01"), ("dbpedia_14", "DBpedia", "dropout=0.3")],
)
def test_the_table_of_regularised_texts_is_the_ledgers(data: str, name: str, chosen: str) -> None:
    """What was chosen is best on validation data, and its test scores stand."""
    page = (ROOT / "docs/results.md").read_text(encoding="utf-8")
    rows = [row for row in ledger("regularised-texts") if row.data == data]
    tried = {row.variant: row.result.validation_scores[-1] for row in rows if row.seed == 0}
    assert len(tried) == 4
    assert max(tried, key=lambda variant: tried[variant]) == f"bp-encoders, {chosen}"
    scores = [100 * row.result.test_scores[-1] for row in rows if row.variant.endswith(chosen)]
    told = f"{chosen.replace('=', ' ')} | {mean(scores):.2f} ± {stdev(scores):.2f} |"
    assert any(
        line.startswith(f"| {name} |") and told in line and line.endswith(f"| {len(scores)} |")
        for line in page.splitlines()
    )


@pytest.mark.parametrize(
    ("experiment", "variant", "rate", "told", "page"),
    [
        ("minilm-variants", "two-2e-4", 2e-4, "have {}", "convert.md"),
        ("minilm-bp", "enc-2e-4", 2e-4, "on test it has {}", "convert.md"),
        ("headed-texts", "bp-encoders, head of 128, 128", 2e-3, "Transformer: {}", "results.md"),
    ],
)
def test_what_single_trials_came_to_is_the_ledgers(
    experiment: str, variant: str, rate: float, told: str, page: str
) -> None:
    name = "lr" if experiment == "headed-texts" else "encoder_lr"
    rows = [row for row in ledger(experiment) if (row.variant, row.config[name]) == (variant, rate)]
    scores = [100 * row.result.test_scores[-1] for row in rows]
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    assert told.format(f"{mean(scores):.2f} ± {stdev(scores):.2f}") in text


def test_the_table_of_growth_is_the_ledgers() -> None:
    page = (ROOT / "docs/results.md").read_text(encoding="utf-8")
    rows = ledger("growth")
    assert {row.seed for row in rows} == {0, 1, 2}
    assert growth_table(rows) in page
    assert all(row.result.commit[:7] in page for row in rows)


def test_a_table_of_depths_leaves_blank_what_a_variant_has_not() -> None:
    first = first_runs()[0]
    scores = {("a", 0): [0.5], ("a", 1): [0.7], ("b", 0): [0.1, 0.2], ("b", 1): [0.1, 0.4]}
    rows = [
        made_row(
            first.to_json(),
            data="d",
            variant=v,
            seed=seed,
            test=test,
            validation=test,
        )
        for (v, seed), test in scores.items()
    ]
    assert depths_table(rows, ["a", "b"]).splitlines()[2:] == [
        "| d | a | 2 |  | 60.00 ± 14.14 |",
        "| d | b | 2 | 10.00 ± 0.00 | 30.00 ± 14.14 |",
    ]


def test_a_table_of_variants_shows_mean_and_deviation_over_seeds() -> None:
    scores = {
        ("a", 0): [0.5, 0.7],
        ("a", 1): [0.6, 0.7],
        ("b", 0): [0.1, 0.2],
        ("b", 1): [0.1, 0.4],
    }
    first = first_runs()[0]
    rows = [
        made_row(first.to_json(), variant=variant, seed=seed, test=test, validation=test)
        for (variant, seed), test in scores.items()
    ]
    # of two numbers d apart the standard deviation is d / sqrt(2)
    assert variants_table(rows, {"b": 12, "a": 3456}).splitlines() == [
        "| variant | parameters | depth 1 | full |",
        "| --- | ---: | ---: | ---: |",
        "| b | 12 | 10.00 ± 0.00 | 30.00 ± 14.14 |",
        "| a | 3,456 | 55.00 ± 7.07 | 70.00 ± 0.00 |",
    ]


def test_the_papers_tables_are_the_ledgers(content: Content) -> None:
    page = (ROOT / "docs" / "tables.md").read_text(encoding="utf-8")
    assert page == render_markdown(content), "run `al report`"


def test_every_row_says_how_to_make_it_again() -> None:
    for row in whole_ledger():
        clean = len(row.result.commit) == 40
        assert clean or row.result.commit in PATCHED, (
            f"{row.data} {row.method}: commit {row.result.commit}"
        )
        settings = {name: v for name, v in row.config.items() if name not in RETIRED}
        assert RunConfig(**settings).seed == row.seed
        assert "/" not in str(row.config["data_root"])
        assert len(row.result.validation_scores) == len(row.result.test_scores)


def test_a_table_shows_each_score_under_its_depth() -> None:
    row = made_row(
        experiment="x", data="d", model="m", method="al", variant="default", seed=0, commit="c",
        config={}, hardware="h", torch="t", epochs=4, best_epoch=2, validation=[0.5, 0.75],
        test=[0.25, 0.5], seconds=120.0,
    )  # fmt: skip
    bp = made_row(row.to_json(), method="bp", test=[0.5], validation=[0.75])
    assert scores_table([row, bp]).splitlines() == [
        "| data | model | method | depth 1 | full | validation | best epoch |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: |",
        "| d | m | AL | 25.00 | 50.00 | 75.00 | 2 of 4 |",
        "| d | m | BP |  | 50.00 | 75.00 | 2 of 4 |",
    ]
