"""The Gantt chart, read back from the SVG that it is drawn as."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from associated_learning.errors import InputError
from associated_learning.pipeline.planning.simulation import simulate
from associated_learning.pipeline.timeline.gantt import plot_gantt
from associated_learning.pipeline.timeline.trace import Trace, stage_names

BAR = re.compile(r'<path d="M ([\d.]+) ([\d.]+) \nL \S+ \S+ \nL ([\d.]+) .*?fill: (#\w+)', re.S)


def drawn(trace: Trace, folder: Path, title: str = "") -> str:
    path = folder / "gantt.svg"
    with mpl.rc_context({"svg.fonttype": "none"}):  # text as text, not as outlines
        plot_gantt(trace, path, title=title)
    return path.read_text(encoding="utf-8")


def texts_of(svg: str) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


def bars_of(svg: str) -> list[list[tuple[float, float, str]]]:
    """Return left and right edge and colour of the bars, row by row."""
    groups = re.findall(r'<g id="PolyCollection_\d+">(.*?)</g>', svg, re.S)
    return [
        [(float(left), float(right), colour) for left, _, right, colour in BAR.findall(group)]
        for group in groups
    ]


def test_bars_lie_where_the_spans_are(tmp_path: Path) -> None:
    trace = simulate([0.02, 0.03], num_batches=6, transfer=0.004, traced=6).trace
    rows = bars_of(drawn(trace.shifted(1e3), tmp_path))
    assert [len(row) for row in rows] == [6, 6]
    left, right = rows[0][0][0], rows[1][-1][1]
    scale = (right - left) / trace.summary().makespan
    for stage, row in enumerate(rows):
        spans = [span for span in trace.spans if span.stage == stage]
        for span, (begin, end, _) in zip(spans, row, strict=True):
            assert begin == pytest.approx(left + scale * span.begin, abs=0.01)
            assert end == pytest.approx(left + scale * span.end, abs=0.01)


def test_a_batch_keeps_its_colour_and_neighbours_differ(tmp_path: Path) -> None:
    rows = bars_of(drawn(simulate([1.0] * 3, 20, traced=20).trace, tmp_path))
    colours = [[colour for _, _, colour in row] for row in rows]
    assert colours[0] == colours[1] == colours[2]
    assert all(a != b for a, b in pairwise(colours[0]))


def test_text_says_what_the_summary_says(tmp_path: Path) -> None:
    run = simulate([0.02, 0.03], num_batches=3, traced=3)
    texts = texts_of(drawn(Trace(names=stage_names([2, 1]), spans=run.trace.spans), tmp_path))
    assert {"stage 1: layers 1-2", "stage 2: layer 3"} <= set(texts)
    assert [text for text in texts if text.isdigit()] == ["0", "1", "2"] * 2
    assert {"54.5 %", "81.8 %"} <= set(texts)  # 6 and 9 of 11 hundredths of a second
    assert {"fill 20 ms", "drain 50 ms"} <= set(texts)
    assert texts[-1] == (
        "3 batches on 2 stages: utilisation 68.2 %, speed-up 1.36 of ideally 1.67 (81.8 %)"
    )


def test_a_long_run_is_drawn_in_two_panels(tmp_path: Path) -> None:
    equal = [0.01] * 300
    slower_and_slower = list(np.linspace(0.01, 0.02, 300))  # so the panels differ in length
    run = simulate([equal, slower_and_slower, equal, equal], traced=300)
    svg = drawn(run.trace, tmp_path)
    numbers = {int(text) for text in texts_of(svg) if text.isdigit()}
    assert {0, 20, 280, 299} <= numbers
    assert not {100, 150, 200} & numbers
    assert "the middle is left out" in texts_of(svg)
    assert len(bars_of(svg)) == 2 * 4
    first, *_, last = bars_of(svg)  # of stages 1 and 4, which take the same time
    widths = [right - left for row in (first, last) for left, right, _ in row[1:-1]]
    assert widths == pytest.approx([widths[0]] * len(widths), abs=0.02)  # one scale


@pytest.mark.parametrize(("n", "panels"), [(1, 1), (64, 1), (65, 2)])
def test_the_longest_run_in_one_panel(n: int, panels: int, tmp_path: Path) -> None:
    assert len(bars_of(drawn(simulate([1.0, 1.0], n, traced=n).trace, tmp_path))) == 2 * panels


def test_replicas_have_rows_of_their_own(tmp_path: Path) -> None:
    spans = simulate([1.0, 1.0], 5, traced=5).trace.spans
    both = tuple(span._replace(replica=r, step=span.step + 90) for span in spans for r in (0, 1))
    texts = texts_of(drawn(Trace(names=stage_names([1, 1]), spans=both), tmp_path, "A run"))
    assert [text for text in texts if "replica" in text] == [
        f"stage {stage}: layer {stage}, replica {replica}" for stage in (1, 2) for replica in (1, 2)
    ]
    assert texts[-1].startswith("A run: utilisation 83.3 %")
    assert "94" in texts


@pytest.mark.parametrize(("stages", "n"), [(1, 1), (2, 8), (64, 200)])
def test_pictures_are_written(stages: int, n: int, tmp_path: Path) -> None:
    path = tmp_path / "gantt.png"
    plot_gantt(simulate([1e-5] * stages, n, traced=n).trace, str(path))
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        assert picture.width == 1725  # 11.5 inches
        assert len(picture.convert("RGB").getcolors(2**24) or []) > 2
    assert list(tmp_path.iterdir()) == [path]


def test_an_empty_trace_has_no_picture(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the trace is empty"):
        plot_gantt(Trace(names=("stage 1",), spans=()), tmp_path / "gantt.png")
    assert list(tmp_path.iterdir()) == []
