"""The report: statistics against scipy and by hand, counts on made-up ledgers, self-containment."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

import associated_learning as al
from associated_learning.runs.ledger.answers import pack_answers, unpack_answers
from associated_learning.runs.ledger.rows import LedgerRow, append_row
from ledger_rows import made_row
from reproduction.campaign.jobs import make_jobs
from reproduction.commands.report import report
from reproduction.paper.catalogue import find_exhibit
from reproduction.paper.cell import Table
from reproduction.paper.data_paths import DataPaths
from reproduction.report.cells import RowIndex
from reproduction.report.charts import rows_chart
from reproduction.report.content import Content, make_content
from reproduction.report.statistics import bootstrap, holm, welch
from reproduction.report.text import (
    render_markdown,
    section_table,
    standing_table,
)

PLACES = DataPaths(vectors="glove.6B.100d.txt")


def made_up(accuracies: dict[str, float], tier: str = "cpu", pool: int = 67_349) -> list[LedgerRow]:
    """Return rows of the BiLSTM and Transformer on SST-2, three seeds an arm."""
    rng = np.random.default_rng(0)
    rows = []
    for job in make_jobs([find_exhibit("table1")], tier=tier, seeds=[0, 1, 2], places=PLACES):
        if job.run.data != "sst2" or job.run.arm not in accuracies:
            continue
        right = rng.random(1_821) < accuracies[job.run.arm]
        score, depths = float(right.mean()), 1 if job.config.method == "bp" else 3
        rows.append(
            made_row(
                experiment="table1", data="sst2", model=job.run.model, method=job.config.method,
                variant=job.run.arm, seed=job.seed, commit="c", config=job.config.to_json(),
                hardware="h", torch="t", epochs=2, best_epoch=2, validation=[score] * depths,
                test=[score] * depths, seconds=1.0, tier=tier, train_samples=12_000,
                train_pool=pool, test_samples=1_821, vector_dim=100, associated=[0.1] * depths,
                validation_curve=[[score] * depths] * 2, answers=pack_answers(right),
            )
        )  # fmt: skip
    return rows


def test_the_bootstrap_of_one_seed_is_scipys() -> None:
    rng = np.random.default_rng(1)
    ours, theirs = rng.random((1, 800)) < 0.9, rng.random((1, 800)) < 0.86
    found = bootstrap(ours, theirs)
    change = (ours.astype(float) - theirs)[0]
    oracle = stats.bootstrap(
        (change,), np.mean, method="percentile", n_resamples=10_000, rng=np.random.default_rng(2)
    ).confidence_interval
    assert found.low < change.mean() < found.high
    assert (found.low, found.high) == pytest.approx((oracle.low, oracle.high), abs=2e-3)


def test_the_bootstraps_p_value_is_near_mcnemars() -> None:
    rng = np.random.default_rng(3)
    ours, theirs = rng.random((1, 2000)) < 0.90, rng.random((1, 2000)) < 0.885
    only_ours, only_theirs = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    exact = stats.binomtest(only_ours, only_ours + only_theirs).pvalue
    assert bootstrap(ours, theirs).p == pytest.approx(exact, abs=0.03)


def test_more_spread_between_seeds_widens_the_interval() -> None:
    rng = np.random.default_rng(4)
    theirs = rng.random((3, 1000)) < 0.8
    even = rng.random((3, 1000)) < 0.85
    uneven = rng.random((3, 1000)) < np.array([[0.75], [0.85], [0.95]])
    one, other = bootstrap(even, theirs), bootstrap(uneven, theirs)
    assert other.high - other.low > 2 * (one.high - one.low)


def test_holms_correction_is_that_of_its_definition() -> None:
    p = [0.02, 0.005, 0.8, 0.012]
    # sorted 0.005 x 4, 0.012 x 3, 0.02 x 2, 0.8 x 1, each at least the one before
    assert holm(p) == pytest.approx([0.04, 0.02, 0.8, 0.036])
    assert holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


@pytest.mark.parametrize("count", [1, 8, 1821])
def test_answers_come_back(count: int) -> None:
    right = np.random.default_rng(count).random(count) < 0.7
    assert (unpack_answers(pack_answers(right), count) == right).all()
    with pytest.raises(al.CheckpointError, match="expected those of"):
        unpack_answers(pack_answers(right), count + 8)


def test_welchs_test_is_that_of_its_formula() -> None:
    ours, theirs = [49.5, 49.9, 50.4], [46.2, 45.5, 43.6, 44.9]
    variances = [np.var(ours, ddof=1) / 3, np.var(theirs, ddof=1) / 4]
    error = np.sqrt(sum(variances))
    freedom = sum(variances) ** 2 / (variances[0] ** 2 / 2 + variances[1] ** 2 / 3)
    difference, reach = np.mean(ours) - np.mean(theirs), stats.t.ppf(0.975, freedom) * error
    found = welch(ours, theirs)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((difference - reach, difference + reach))
    assert found.p == pytest.approx(2 * stats.t.sf(difference / error, freedom))
    assert welch([1.0], theirs) is None
    assert welch([1.0, 1.0], [1.0, 1.0]) is None


def check(
    rows: list[LedgerRow], folder: Path, capsys: pytest.CaptureFixture[str]
) -> dict[str, Any]:
    ledger = folder / "made-up.jsonl"
    for row in rows:
        append_row(ledger, row)
    ledger.touch()
    report(ledger=str(ledger), check=True)
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_the_check_counts_what_is_filled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    empty = check([], tmp_path / "empty", capsys)
    # 32 values in Table 1, 16 each in Tables 2 to 4, 32, 17 (one epoch twice) in 5 and 6, 6 + 4
    # in 9 and 10
    assert empty == {
        "printed": 139, "cpu": 0, "full": 0, "standing": {}, "unfair": 0, "unfair_cells": {},
        "unread": 0,
    }  # fmt: skip
    found = check(made_up({"al": 0.9, "bp": 0.8}), tmp_path, capsys)
    # of each model: full, SC1, EMB and BP in Table 1; two rows of two values in Table 3
    assert (found["cpu"], found["full"]) == (16, 0)
    assert found["standing"] == {
        "cpu, AL (Equation 3)": {"ahead": 0, "not told apart": 0, "behind": 0, "not yet fair": 2}
    }
    assert found["unfair"] == 2
    assert (
        "0 seeds of BP, AL's encoders" in found["unfair_cells"]["cpu, SST, LSTM, AL (Equation 3)"]
    )


def test_two_seeds_or_half_of_the_data_fill_nothing() -> None:
    arms = {"al": 0.7, "bp": 0.8}
    rows = [row for row in made_up(arms) if row.seed < 2] + made_up(arms, "full", pool=60_000)
    content = make_content(rows)
    counts = content.counts
    assert (counts.cpu, counts.full) == (0, 0)
    assert all("not yet fair" in counted for counted in counts.standing.values())
    assert any(
        "2 seeds of AL" in why for why in counts.unfair_cells["cpu, SST, LSTM, AL (Equation 3)"]
    )
    assert any(
        "a part of the data" in why
        for why in counts.unfair_cells["full, SST, LSTM, AL (Equation 3)"]
    )
    text = render_markdown(content)
    assert "chosen from 60,000 of 67,349" in text


def of_both_tiers() -> list[LedgerRow]:
    return made_up({"al": 0.9, "bp": 0.8}) + made_up({"al": 0.7, "bp": 0.8}, "full")


@pytest.fixture(scope="module")
def both_tiers() -> Content:
    return make_content(of_both_tiers())


def test_the_better_tier_decides_and_tiers_do_not_mix(both_tiers: Content) -> None:
    rows, counts = of_both_tiers(), both_tiers.counts
    assert (counts.cpu, counts.full) == (16, 16)
    assert counts.standing["full, AL (Equation 3)"]["behind"] == 2
    asked = ("full", "al", "bilstm")
    of_full = np.mean(
        [100 * r.result.test_scores[-1] for r in rows if (r.tier, r.variant, r.model) == asked]
    )
    (line,) = [x for x in render_markdown(both_tiers).splitlines() if "LSTM-AL-full |" in x]
    assert f"**{of_full:.2f} ±" in line


def test_rows_changed_by_hand_are_found() -> None:
    first, *rest = made_up({"al": 0.9, "bp": 0.8})
    changed = made_row(first.to_json(), test=[0.99] * len(first.result.test_scores))
    with pytest.raises(al.CheckpointError, match="it was changed by hand"):
        make_content([changed, *rest])


def test_the_page_needs_no_other_file(tmp_path: Path) -> None:
    for row in made_up({"al": 0.9, "bp": 0.8}):
        append_row(tmp_path / "made-up.jsonl", row)
    html, markdown = tmp_path / "page.html", tmp_path / "page.md"
    places = {"html": str(html), "markdown": str(markdown), "images": str(tmp_path / "images")}
    (tmp_path / "README.md").write_text("<!-- ledger: counts -->\nold\n<!-- ledger ends -->\n")
    places["pages"] = str(tmp_path)
    report(ledger=str(tmp_path / "made-up.jsonl"), **places)
    page = html.read_text(encoding="utf-8")
    sources = re.findall(r'(?:src|href)="([^"]{0,30})', page)
    assert sources
    assert all(source.startswith(("data:image/svg+xml;base64,", "#")) for source in sources)
    assert "82.23 ± 0.93" in page
    assert "82.23 ± 0.93" in markdown.read_text(encoding="utf-8")
    filled = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "values that the paper prints" in filled
    assert "\nold\n" not in filled
    charts = sorted(path.name for path in (tmp_path / "images").iterdir())
    assert charts == ["field-cpu.svg", "standing-al-cpu.svg"]
    assert all(
        ET.parse(tmp_path / "images" / name).getroot().tag.endswith("svg") for name in charts
    )


def test_a_chart_draws_what_differs_from_the_baseline() -> None:
    table = find_exhibit("field")
    assert isinstance(table, Table)
    index = RowIndex(made_up({"al": 0.9, "bp": 0.8}))
    assert rows_chart(table, index, "cpu") is not None
    assert rows_chart(table, index, "full") is None
    assert rows_chart(table, RowIndex(made_up({"bp": 0.8})), "cpu") is None
    assert rows_chart(replace(table, baseline=""), index, "cpu") is None


def test_short_tables_show_one_tier(both_tiers: Content) -> None:
    content = both_tiers
    for tier in ("cpu", "full"):
        table = section_table(content.section("field"), tier)
        assert table.splitlines()[0].startswith(
            "|  | AG News, LSTM | AG News, Transformer | SST, LSTM |"
        )
        (line,) = [
            line for line in table.splitlines() if line.startswith("| Associated learning (Eq")
        ]
        cells = [cell.strip() for cell in line.split("|")[2:-1]]
        assert cells[0] == cells[1] == cells[4] == ""
        assert (float(cells[2].split()[0]) > 80) is (tier == "cpu")
        (standing,) = [one for one in content.standings if one.tier == tier]
        assert standing_table(standing).count("\n| SST, ") == 2
