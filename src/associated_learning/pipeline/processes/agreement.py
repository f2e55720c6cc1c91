"""What all processes of a run must have in common, compared before they start."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import nn
from torch.distributed import PrefixStore, Store  # type: ignore[attr-defined]

from associated_learning.errors import InputError, PipelineError

__all__ = ["agree", "agreed", "differences"]

_POLL = 0.02  # seconds
_SHOWN = 300  # characters of a value in a message
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")  # in the names of functions, other in every process


def agreed(settings: Mapping[str, Any], net: nn.Module, batches: int) -> dict[str, str]:
    """Return what all ranks of a training must agree on, the shapes of the network too, by name."""
    values = {name: _ADDRESS.sub("", repr(value)) for name, value in settings.items()}
    shapes = [f"{key} {list(value.shape)}" for key, value in net.state_dict().items()]
    return {**values, "network": "; ".join(shapes), "batches of an epoch": str(batches)}


def agree(
    values: Mapping[str, str], store: Store, rank: int, size: int, *, timeout: float = 60.0
) -> str:
    """Wait for all ranks, compare what they bring, and return a name for the run.

    The name is the same on all ranks and of this run alone: in ``PrefixStore(name, store)``
    nothing is left of an earlier one. After a restart by ``torchrun`` the store still holds what
    the processes before wrote, among it addresses at which nobody listens any more, so do this
    before ``init_process_group``, and give it that store.

    Raises:
        InputError: The ranks differ; the same message on all of them.
        PipelineError: Some ranks did not arrive in time, or the store is gone.

    Example:
        >>> from torch.distributed import HashStore
        >>> len(agree({"torch": "2.13"}, HashStore(), rank=0, size=1))
        32
    """
    deadline = _Deadline(timeout)
    try:
        name = _call(store, size, deadline) if rank == 0 else _answer(store, rank, deadline)
        found = _exchange(values, name, store, rank, size, deadline)
    except PipelineError:
        raise
    except RuntimeError as error:  # as torch raises it when a connection breaks
        reason = str(error).splitlines()[0]
        raise PipelineError(f"rank {rank} lost the store of the run ({reason}).") from error
    if faults := differences(found):
        raise InputError(
            "the processes of this run differ; start all with the same versions and settings:"
            + "".join(f"\n  - {fault}" for fault in faults)
        )
    return name


def differences(found: Sequence[Mapping[str, str]]) -> list[str]:
    """Return a line for every value that differs, telling which ranks have what.

    Example:
        >>> differences([{"torch": "2.13"}, {"torch": "2.12"}, {"torch": "2.13"}])
        ["torch: '2.13' on ranks 0, 2; '2.12' on rank 1"]
    """
    lines = []
    for key in dict.fromkeys(key for values in found for key in values):
        holders: dict[str, list[int]] = {}
        for rank, values in enumerate(found):
            holders.setdefault(values.get(key, "nothing"), []).append(rank)
        if len(holders) > 1:
            parts = [f"{_shown(v, holders)} on {_ranks(ranks)}" for v, ranks in holders.items()]
            lines.append(f"{key}: " + "; ".join(parts))
    return lines


def _call(store: Store, size: int, deadline: _Deadline) -> str:
    """Give the run a name, as rank 0, until every rank that lives has taken it.

    What a process of an earlier run wrote looks just like what one of this run writes. So each
    brings a number that nobody can guess, and takes a name only where its number stands with it.
    """
    name, told = uuid.uuid4().hex, ""
    while True:
        # read before it is known who is late, so that the last call goes to this run's ranks
        call = json.dumps([name, [_read(store, f"number of {r}") for r in range(1, size)]])
        if not (late := _late(name, store, size)):
            return name
        if call != told:
            store.set("call", call)
            told = call
        deadline.check(late)


def _answer(store: Store, rank: int, deadline: _Deadline) -> str:
    number = uuid.uuid4().hex
    store.set(f"number of {rank}", number)
    while True:
        name, numbers = json.loads(_read(store, "call") or '["", []]')
        if number in numbers:
            store.set(f"name at {rank}", name)
            return str(name)
        deadline.check([0])


def _exchange(
    values: Mapping[str, str], name: str, store: Store, rank: int, size: int, deadline: _Deadline
) -> list[dict[str, str]]:
    """Return the values of all ranks."""
    fresh = PrefixStore(name, store)
    fresh.set(f"values of {rank}", json.dumps(dict(values)))
    keys = [f"values of {other}" for other in range(size)]
    while not fresh.check(keys):
        silent = [other for other, key in enumerate(keys) if not fresh.check([key])]
        deadline.check(_late(name, store, size) or silent)
    return [json.loads(value) for value in fresh.multi_get(keys)]


def _late(name: str, store: Store, size: int) -> list[int]:
    """Return the ranks that have not taken the run's name."""
    return [r for r in range(1, size) if _read(store, f"name at {r}") != name]


def _read(store: Store, key: str) -> str:
    return store.get(key).decode() if store.check([key]) else ""


class _Deadline:
    """When to give up waiting."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def check(self, missing: Sequence[int]) -> None:
        """Wait a moment for some ranks, or raise if they had time enough."""
        if time.monotonic() > self._end:
            raise PipelineError(
                f"{_ranks(missing)} did not arrive within {self._seconds:g} seconds: look at the "
                "output of those processes, and whether their machines reach each other."
            )
        time.sleep(_POLL)


def _shown(value: str, among: Iterable[str]) -> str:
    """Return what is special to one of several values: of long texts the lines that differ."""
    texts = [set(text.splitlines()) for text in among]
    own = [line for line in value.splitlines() if any(line not in text for text in texts)]
    text = value if "\n" not in value else " / ".join(line.strip() for line in own)
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + " ...")


def _ranks(numbers: Sequence[int]) -> str:
    return ("rank " if len(numbers) == 1 else "ranks ") + ", ".join(map(str, numbers))
