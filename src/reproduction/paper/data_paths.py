"""Where the data of this machine lie, and how much of each set there is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from associated_learning.data.reading.encoded import encoded_file, encoded_sizes
from associated_learning.errors import needs_extra
from reproduction.paper.tiers import PAPER_SIZES, Sizes

__all__ = ["VECTORS", "DataPaths", "widest_vectors"]

VECTORS = "glove"  # the folder of word vectors in a data root


@dataclass(frozen=True, kw_only=True)
class DataPaths:
    """Where the data of this machine lie, and where it computes.

    Attributes:
        data_root: Folder with NAME/SPLIT.parquet files; None asks the Hugging Face hub.
        vectors: File of word vectors for the arms that have some.
        device: See `RunConfig`.
    """

    data_root: str | None = None
    vectors: str | None = None
    device: str = "auto"

    def sizes(self, data: str) -> Sizes:
        """Return the sizes of a data set as it lies here; the paper's where it is not here yet."""
        return PAPER_SIZES[data] if self.data_root is None else _sizes(self.data_root, data)


def widest_vectors(data_root: str) -> str | None:
    """Return the file in DATA_ROOT/glove whose name tells most dimensions, as "100d" does."""
    found = [
        (re.search(r"\b(\d+)d\b", path.name), path) for path in Path(data_root, VECTORS).glob("*")
    ]
    widths = [(int(match[1]), str(path)) for match, path in found if match]
    return max(widths)[1] if widths else None


@cache
def _sizes(data_root: str, data: str) -> Sizes:
    paper, folder = PAPER_SIZES[data], Path(data_root, data)
    if encoded_file(data_root, data).exists():
        found = encoded_sizes(encoded_file(data_root, data))
        return Sizes(train=found["train"], test=found["test"], own_validation=paper.own_validation)
    if not (folder / "train.parquet").exists():
        return paper
    return Sizes(
        train=_rows(folder / "train.parquet"),
        test=_rows(folder / "test.parquet"),
        own_validation=paper.own_validation,
    )


def _rows(path: Path) -> int:
    # pyarrow comes with datasets, and takes a moment to import
    with needs_extra("reproduction", "the size of a data set"):
        from pyarrow.parquet import read_metadata

    return int(read_metadata(path).num_rows)
