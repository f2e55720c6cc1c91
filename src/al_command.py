"""The program ``al``: it says that it has begun before PyTorch is there, which takes seconds.

It stands beside the package, because importing anything of that imports PyTorch first.
"""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line; on a terminal a line stands there until it has been imported."""
    shows = sys.stderr is not None and sys.stderr.isatty()
    if shows:
        sys.stderr.write("Loading PyTorch ...\r")
        sys.stderr.flush()
    from associated_learning.cli.main import main as run

    if shows:
        sys.stderr.write("\x1b[2K\r")  # that line goes
        sys.stderr.flush()
    run()
