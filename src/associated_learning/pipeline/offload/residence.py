"""Which layers are in memory: one that trains, the next one that comes, the last one that goes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

from associated_learning.pipeline.offload.layer_files import files_of
from associated_learning.pipeline.offload.layer_store import Store
from associated_learning.pipeline.offload.storable import check_storable
from associated_learning.pipeline.stage import Stage
from associated_learning.state.optimizers import align_states
from associated_learning.tensors.hollow import (
    Tensors,
    fill,
    hollow,
    is_hollow,
    values_of,
)

__all__ = ["Residence"]


class Residence:
    """Gives stages their state in turn and takes it away again, with copies under way meanwhile.

    One thread copies, in this order: the last stage's state goes, then the next one's comes. So
    there is room needed for two stages. On a GPU the copies have a stream of their own.
    """

    def __init__(self, stages: Sequence[Stage], store: Store) -> None:
        self._stages = stages
        self._store = store
        self._copier = ThreadPoolExecutor(1, thread_name_prefix="offload")
        self._writing: list[Future[None]] = []
        self._coming: dict[int, Future[dict[str, Tensors]]] = {}
        cuda = store.device.type == "cuda"
        self._stream = torch.cuda.Stream(store.device) if cuda else None  # type: ignore[no-untyped-call]

    def take_all(self) -> None:
        """Take the state of all stages that have theirs; what it was is in the store.

        Raises:
            InputError: Some of it cannot be kept there.
        """
        if not self._store.free:  # which is handed over as it is
            check_storable(
                {
                    f"{key} of {name}": tensor
                    for stage in self._stages
                    for name, live in files_of(stage).items()
                    for key, tensor in live.items()
                }
            )
        for stage in self._stages:
            for name, live in files_of(stage).items():
                if not any(is_hollow(tensor) for tensor in live.values()):
                    self._store.write(name, values_of(live))
                hollow(live.values(), self._store.device)
        self._store.commit()

    def expect(self, index: int) -> None:
        """Let the state of a stage come meanwhile."""
        if index not in self._coming:
            self._coming[index] = self._copier.submit(self._fetch, self._stages[index])

    @contextmanager
    def at(self, index: int, following: int | None) -> Iterator[Stage]:
        """Give a stage its state inside the block; after it, let it go to the store.

        Args:
            index: Number of the stage.
            following: Number of the next one, which comes meanwhile; None if that is not known.
        """
        stage = self._stages[index]
        self._check_writes()
        self.expect(index)
        self._place(stage, self._coming.pop(index).result())
        if following is not None and following != index:
            self.expect(following)
        try:
            yield stage
        except BaseException:
            self._lend(stage)
            raise
        self._leave(stage)

    def settle(self) -> None:
        """Wait until all that left is in the store. Raises what went wrong with it."""
        writing, self._writing = self._writing, []
        for future in writing:
            future.result()

    def commit(self) -> None:
        """Let what is written so far count, once it is written."""
        self._writing.append(self._copier.submit(self._store.commit))

    def give_all(self) -> None:
        """Give all stages their weights, and their optimizers' state too where that is free."""
        self.settle()
        for stage in self._stages:
            for name, live in files_of(stage, optimizers=self._store.free).items():
                missing = {key: tensor for key, tensor in live.items() if is_hollow(tensor)}
                if missing:
                    fill(missing, self._store.read(name))

    def close(self) -> None:
        """End the copying; what is under way is finished, what has not begun is not."""
        self._copier.shutdown(cancel_futures=True)
        self._coming.clear()

    def _fetch(self, stage: Stage) -> dict[str, Tensors]:
        with self._beside():
            return {name: self._store.read(name) for name in files_of(stage)}

    def _place(self, stage: Stage, fetched: dict[str, Tensors]) -> None:
        for name, live in files_of(stage).items():
            fill(live, fetched[name])
        for optimizer in stage.optimizers:
            if optimizer is not None:
                align_states(optimizer)

    def _leave(self, stage: Stage) -> None:
        live = files_of(stage)
        values = {name: values_of(tensors) for name, tensors in live.items()}
        changed = any(optimizer is not None for optimizer in stage.optimizers)
        if not changed:
            self._lend(stage)
        for tensors in live.values():
            hollow(tensors.values(), self._store.device)
        if changed:
            done = None
            if self._stream is not None:
                done = torch.cuda.current_stream(self._store.device).record_event()
            self._writing.append(self._copier.submit(self._write, values, done))

    def _write(self, values: dict[str, Tensors], done: torch.cuda.Event | None) -> None:
        with self._beside():
            if self._stream is not None and done is not None:
                self._stream.wait_event(done)
            for name in list(values):
                self._store.write(name, values.pop(name))

    def _lend(self, stage: Stage) -> None:
        """Keep the memory of a stage that is let go until the GPU has done what it was told.

        It came from the stream that copies, which would take it again at once. What is written
        back needs none of it: that copy follows the stage's last kernel, and is waited for.
        """
        if self._stream is None:
            return
        stream = torch.cuda.current_stream(self._store.device)
        for tensors in files_of(stage).values():
            for tensor in tensors.values():
                if tensor.is_cuda:
                    tensor.record_stream(stream)

    def _check_writes(self) -> None:
        """Raise what a write that is over went wrong with."""
        over = [future for future in self._writing if future.done()]
        self._writing = [future for future in self._writing if not future.done()]
        for future in over:
            future.result()

    def _beside(self) -> AbstractContextManager[object]:
        return nullcontext() if self._stream is None else torch.cuda.stream(self._stream)
