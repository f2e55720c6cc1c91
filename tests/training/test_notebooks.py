"""What a notebook shows: HTML that parses, with the numbers that the values hold."""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from types import ModuleType
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import nn

import associated_learning as al
from associated_learning.runs.result import RunResult
from associated_learning.state.training_state import Candidates, EpochRecord, TrainingState
from associated_learning.training.progress_bar import ProgressBar


class Tables(HTMLParser):
    """Reads the rows of a table back, and checks that each tag is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.open: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def history() -> TrainingState:
    state = TrainingState(step=6)
    for epoch, score in ((1, 0.5), (2, 0.9), (3, 0.7)):
        scores = [score] if epoch == 1 else [score, score - 0.125]  # it grew
        record = EpochRecord(
            epoch=epoch, step=2 * epoch, losses=[{"a": 1.0, "b": 0.5}] * len(scores),
            scores=scores, validation_losses=[], lr=[], seconds=2.0, validation_seconds=0.0,
        )  # fmt: skip
        state.finish_epoch(record, Candidates({1: score}))
    return state


def test_a_history_is_a_table_of_epochs_with_the_best_in_bold() -> None:
    html = history()._repr_html_()
    header, *rows = Tables(html).rows
    assert header == [
        "epoch", "loss, layer 1", "loss, layer 2", "score, depth 1", "score, depth 2", "seconds",
    ]  # fmt: skip
    assert rows[0] == ["1", "1.5", "", "0.5", "", "2.0"]
    assert rows[1] == ["2", "1.5", "1.5", "0.9", "0.775", "2.0"]
    assert "<tr><th>2</th>" in html
    assert "<tr><td>3</td>" in html
    assert "3 epochs, 6 updates; the best is epoch 2" in html
    assert Tables(TrainingState()._repr_html_()).rows == [["epoch", "seconds"]]


def test_a_history_plots_each_depth_and_layer() -> None:
    scores, losses = history().plot().axes
    drawn = [(list(line.get_xdata()), list(line.get_ydata())) for line in scores.lines]
    assert drawn == [([1, 2, 3], [0.5, 0.9, 0.7]), ([2, 3], [0.775, 0.575])]
    assert [list(line.get_ydata()) for line in losses.lines] == [[1.5] * 3, [1.5] * 2]
    negative = history()
    for record in negative.records:
        record.scores[:] = [-100 * score for score in record.scores]
    assert negative.plot().axes[0].get_ylim()[0] < -90  # errors are shown whole


def test_plans_evaluations_and_results_are_tables() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3))
    plan = al.plan(model, torch.randn(2, 4), at=["1"], balance="parameters", latent=5)
    printed = [line.split("  ") for line in str(plan).splitlines()[3:5]]
    cells = [[cell.strip() for cell in line if cell] for line in printed]
    assert Tables(plan._repr_html_()).rows[1:] == cells
    assert f"<p>{plan.notes[0]}</p>" in plan._repr_html_()
    evaluation = al.evaluate(
        al.BPNetwork(model, al.Classes(3)), [(torch.zeros(2, 4), torch.zeros(2).long())]
    )
    assert Tables(evaluation._repr_html_()).rows[1][:2] == ["1", f"{evaluation.scores[0]:.4f}"]
    result = RunResult(
        test_scores=[0.5, 0.75], validation_scores=[0.25, 1.0], best_epoch=2, epochs=3, seconds=1.0
    )
    assert Tables(result._repr_html_()).rows[1:] == [
        ["1", "0.2500", "0.5000"],
        ["2", "1.0000", "0.7500"],
    ]


def test_progress_shows_a_line_an_epoch_in_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    display = ModuleType("IPython.display")
    display.display = lambda one: shown.append(one._repr_mimebundle_([], [])["text/html"])  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    bar = ProgressBar("AL", console=Console(force_jupyter=True))
    x = torch.randn(8, 4)
    net = al.al_form([nn.Linear(4, 8)], x, al.Classes(2), latent=4)
    al.Trainer(epochs=2).fit(net, [(x, (x[:, 0] > 0).long())], callbacks=[bar])
    assert len(shown) == 2
    assert "epoch 1/2" in shown[0]
    assert "epoch 2/2" in shown[1]
