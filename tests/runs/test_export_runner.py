"""Exports are whole: their runner, where there is no torch, labels as the run does."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from associated_learning.cli.main import main
from associated_learning.data.subword import SubwordPreprocessor
from associated_learning.data.text_preprocessor import TextPreprocessor
from associated_learning.errors import InputError
from associated_learning.runs import export as package
from associated_learning.runs.config import RunConfig
from associated_learning.runs.export.description import export_description
from associated_learning.runs.export.source import runner_source
from associated_learning.runs.run import OpenRun, open_run, train_run

KINDS = ("text", "subword", "table", "image")
ROOM = ("numpy", "numpy.libs", "onnxruntime", "PIL", "pillow.libs")  # all that the runner may import
STRANGE = (
    "<b>Don't</b> &amp; it#39;s 2 GOOD!<br /> quot;film&quot;",
    "a <!-- hidden <b> film --> good > <a <!-- x --> bad>film",
    "\u0130stanbul STRASSE Stra\u00dfe \u00c9TE\u0301 caf\u00e9 \u6620\u753b \u0664\u0662 under_score",
    "&lt;b&gt; film &#x41; &unknown; ; amp;",
    "nothing-here-is known: qqq zzz",
    "",
    "  \t ",
    "<!-- never closed good film",
    "good " * 50,
)


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of packages in which there is neither torch nor this library."""
    folder = tmp_path_factory.mktemp("room")
    site = Path(np.__file__).parents[1]
    for name in ROOM:
        if (site / name).exists():
            (folder / name).symlink_to(site / name)
    return folder


def alone(room: Path, runner: Path, inputs: Sequence[str], *, piped: bool = False) -> list[Any]:
    """Run a runner with the packages of the room only, and return what it prints."""
    start = (
        f"import sys, runpy; sys.path.append({str(room)!r}); sys.argv[0:1] = []\n"
        "for name in ('torch', 'associated_learning'):\n"
        "    try: __import__(name)\n"
        "    except ModuleNotFoundError: continue\n"
        "    sys.exit(f'{name} is here')\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    ended = subprocess.run(
        [sys.executable, "-I", "-S", "-c", start, str(runner), *([] if piped else inputs)],
        input="\n".join(inputs) if piped else "",
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONIOENCODING": "utf-8", "PYTHONUTF8": "1"},
    )
    assert ended.returncode == 0, ended.stderr
    return [json.loads(line) for line in ended.stdout.splitlines()]
