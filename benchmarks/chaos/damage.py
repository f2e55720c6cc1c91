"""Files of runs and exports whose bytes change, and what a command makes of them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from tally import Tally

from associated_learning.errors import AssociatedLearningError
from associated_learning.runs.hub.pretrained import PretrainedModel
from associated_learning.runs.ledger.rows import read_rows
from commands import Ended, run_command
from runs import outcome, train

__all__ = ["Damage"]

_READ = ("evaluate", "info", "resume", "export", "ledger")
_PIXELS = re.compile(r"\s+")


class Damage:
    """Damages copies of good folders, and uses them.

    Args:
        finished: A run that has ended.
        stopped: The same run, killed after a checkpoint.
        exported: A folder that the finished run was exported to.
        ledger: A folder with nothing but a ledger.
        expected: `outcome` of the finished run.
    """

    def __init__(
        self, finished: Path, stopped: Path, exported: Path, ledger: Path, expected: str
    ) -> None:
        self._folders = {"evaluate": finished, "info": finished, "resume": stopped,
                         "export": exported, "ledger": ledger}  # fmt: skip
        self._expected = expected
        self._good = {use: _said(_use(use, folder)) for use, folder in self._folders.items()
                      if use != "resume"}  # fmt: skip

    def once(self, folder: Path, random: Random, tally: Tally) -> None:
        """Damage one file of one copy, and use it."""
        use = random.choice(_READ)
        shutil.copytree(self._folders[use], folder, symlinks=True)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        path = random.choice([one for one in files if one.suffix in (".json", ".jsonl",
                                                                      ".safetensors")])  # fmt: skip
        how = random.choice(list(_WAYS))
        before = path.read_bytes()
        _WAYS[how](path, random)
        if path.exists() and path.read_bytes() == before:
            return
        tally.damaged += 1
        ended = _use(use, folder)
        what = (use, how, path.relative_to(folder))
        if not tally.take(what, ended) or ended.code != 0:
            return
        same = outcome(folder) == self._expected if use == "resume" else (
            _said(ended) == self._good[use]
        )  # fmt: skip
        if not same and "was cut off" not in ended.output:  # of a torn line, which is said
            tally.silent += 1
            tally.tell("silent", *what)


def _use(use: str, folder: Path) -> Ended:
    if use == "resume":
        return train("al", folder)
    if use == "export":
        return run_command([], call=lambda: _ours(lambda: _predicted(folder)))
    if use == "ledger":
        return run_command([], call=lambda: _ours(lambda: read_rows(folder / "ledger.jsonl")))
    command = [use, str(folder)] + (["--json"] if use == "evaluate" else [])
    return run_command(command)


def _ours(call: Callable[[], Any]) -> Any:
    """Call something as the command line does: an error of ours ends with status 2."""
    try:
        return call()
    except AssociatedLearningError as error:
        print("Error:", error)
        raise SystemExit(2) from None


def _predicted(folder: Path) -> Any:
    model = PretrainedModel.from_pretrained(folder)
    x = model.preprocessor([_picture()])
    return model.label_names, model(x).tolist()


def _picture() -> Any:
    from PIL import Image

    return Image.new("L", (8, 8), 77)


def _said(ended: Ended) -> str:
    """Return what a command said, but for lines that are folded at other places."""
    return _PIXELS.sub("", ended.output)


def _flip(path: Path, random: Random) -> None:
    content = bytearray(path.read_bytes())
    if content:
        content[random.randrange(len(content))] ^= 1 << random.randrange(8)
    path.write_bytes(content)


def _truncate(path: Path, random: Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: random.randrange(len(content) + 1)])


def _zeros(path: Path, random: Random) -> None:
    content = bytearray(path.read_bytes())
    begin = random.randrange(len(content) + 1)
    content[begin : begin + 512] = bytes(len(content[begin : begin + 512]))
    path.write_bytes(content)


def _noise(path: Path, random: Random) -> None:
    content = bytearray(path.read_bytes())
    begin = random.randrange(len(content) + 1)
    content[begin : begin + 16] = random.randbytes(len(content[begin : begin + 16]))
    path.write_bytes(content)


def _remove(path: Path, random: Random) -> None:
    path.unlink()


_WAYS: dict[str, Callable[[Path, Random], None]] = {
    "flip": _flip, "truncate": _truncate, "zeros": _zeros, "noise": _noise, "remove": _remove,
}  # fmt: skip
