"""What holds for all tests. The process that only divides them imports no torch for it."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

# Rich asks for the width where it is imported, and processes that pytest starts inherit one from
# GNU readline: what a test prints must depend neither on that nor on the user's terminal.
for _name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "CLICOLOR_FORCE"):
    os.environ.pop(_name, None)

# before torch is imported, and for every process that a test starts: beside other tests, a second
# thread waits for a processor at the end of each operation
os.environ["OMP_NUM_THREADS"] = "1"

_MEMORY = Path("/dev/shm")  # a disk waits for every checkpoint to reach it, memory does not
_ROOM = 4 * 1024**3
_WITH_PICTURES = {"test_runs.py", "test_cli.py", "test_grow_command.py", "test_docs.py"}


def pytest_configure(config: pytest.Config) -> None:
    """Compute as commands do, with one thread, and keep temporary files in memory.

    Fixtures of a module are made before those of its first test, and sums depend on both.
    """
    if not getattr(config.option, "numprocesses", None):
        import torch

        from associated_learning.tensors.float32_products import use_fast_products

        torch.set_num_threads(1)
        use_fast_products()
    # where workers share it, one that reads a file waits five seconds for another one that does
    own = tempfile.mkdtemp(prefix="datasets-")
    os.environ["HF_DATASETS_CACHE"] = own
    config.add_cleanup(partial(shutil.rmtree, own, ignore_errors=True))
    if _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ROOM:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Divide the tests among the workers of `pytest -n`."""
    from scheduling import ByFile

    config.option.loadscopereorder = False
    return ByFile(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put what takes longest first, where workers share the tests."""
    if hasattr(config, "workerinput"):
        from scheduling import longest_first

        items[:] = longest_first(items)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Look for no garbage while modules are imported, which would take a fifth of that time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_finish() -> None:
    """Leave what was imported out of collecting garbage, and collect it rarely.

    Else that takes a sixth of the time of tests that convert models of transformers.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


@pytest.fixture
def usual_products() -> Iterator[None]:
    """Multiply as torch does by itself, whatever commands do on this processor."""
    import torch

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    yield
    torch.set_float32_matmul_precision(before)


@pytest.fixture(autouse=True)
def _wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "xterm")


@pytest.fixture(autouse=True)
def _one_thread_and_seed() -> Iterator[None]:
    import torch

    from associated_learning.tensors.randomness.generators import seed_all

    seed_all(0)
    yield
    torch.set_num_threads(1)  # whatever the test had need of


@pytest.fixture(autouse=True, scope="module")
def _pictures_where_they_are_looked_at(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let runs draw no curves, which take longer than a small training, where none sees them."""
    with pytest.MonkeyPatch.context() as patch:
        if request.path.name not in _WITH_PICTURES:
            patch.setattr("associated_learning.runs.run.can_plot", lambda: False)
        yield


@pytest.fixture
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests in which no power is cut."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that ask the Hugging Face hub nothing."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.fixture
def data_root() -> Path:
    """The folder with the real data sets; tests that use it carry the marker ``data``."""
    default = Path(__file__).parents[1].parent / "shared" / "data"
    folder = Path(os.environ.get("AL_DATA_ROOT", default))
    if not folder.is_dir():
        pytest.skip("no folder with the real data sets")
    return folder
