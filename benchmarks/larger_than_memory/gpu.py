"""On one GPU: a decoder whose training state is several times what the card may use.

Run: ``python benchmarks/larger_than_memory/gpu.py --minutes 6``. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import gc
import json
import re
import statistics
import time
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any

import torch
from decoder import Decoder, Sizes, al_layers, batches
from torch import Tensor, nn

import associated_learning as al
from associated_learning.runs.folder.provenance import describe_hardware

GIB = 2**30
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"  # the latter to try the script
ALLOCATOR = ("num_alloc_retries", "num_device_alloc")  # what makes a GPU wait, counted
Figures = dict[str, Any]


class Contest:
    """The methods by name, on one network; each measurement returns figures.

    Args:
        sizes: Of the network and its minibatches.
        window: That of the offloaded network.
        limit: Bytes of the card that methods within the limit may use.
    """

    def __init__(self, sizes: Sizes, window: int, limit: int) -> None:
        self.sizes, self.window, self.limit = sizes, window, limit

    @cached_property
    def stored(self) -> al.StoredNetwork:
        """The network whose layers lie in host memory."""
        begin, layers = time.perf_counter(), al_layers(self.sizes, DEVICE)
        net = al.store_layers(layers, self.sizes.target, "host", device=DEVICE)
        print(f"stored in {time.perf_counter() - begin:.1f} s", flush=True)
        return net

    def offloaded(self, window: int, steps: int) -> Figures:
        """Train with the layers in pinned host memory."""
        return self._al(self.stored, steps, executor="offload", window=window)

    def planned(self) -> Figures:
        """Let the planner choose a window for the limit."""
        trainer = al.Trainer(executor="offload", memory=self.limit, precision=torch.bfloat16)
        plan = trainer.memory_plan(self.stored, al.LoaderBatches(batches(self.sizes, 1)))
        print(plan, flush=True)
        return {"window": plan.window, "lost": round(plan.lost, 3)}

    def resident(self, steps: int) -> Figures:
        """Train with all layers on the card."""
        net = al.ALNetwork(al_layers(self.sizes, DEVICE), self.sizes.target)
        return self._al(net, steps, executor="sequential")

    def checkpointed(self, steps: int) -> Figures:
        """Train end to end with activation checkpointing, all on the card."""
        model = Decoder(self.sizes, DEVICE, DEVICE)
        return self._end_to_end(
            model, torch.optim.Adam(model.parameters(), 1e-4, fused=True), steps
        )

    def fully_sharded(self, steps: int) -> Figures:
        """Train end to end by FSDP2 with CPUOffloadPolicy and activation checkpointing."""
        self.__dict__.pop("stored", None)  # the host has no room for both
        gc.collect()
        import torch.distributed as dist
        from torch.distributed.fsdp import CPUOffloadPolicy, MixedPrecisionPolicy, fully_shard

        address = {"init_method": "tcp://127.0.0.1:29511", "rank": 0, "world_size": 1}
        dist.init_process_group("cpu:gloo,cuda:nccl" if DEVICE == "cuda" else "gloo", **address)
        try:
            model: Any = Decoder(self.sizes, DEVICE, "cpu")
            policy: dict[str, Any] = {
                "offload_policy": CPUOffloadPolicy(),
                "mp_policy": MixedPrecisionPolicy(torch.bfloat16, torch.float32),
            }
            for module in [*model.blocks, model.head, model]:
                fully_shard(module, **policy)
            optimizer = torch.optim.Adam(model.parameters(), 1e-4, fused=True)
            return self._end_to_end(model, optimizer, steps)
        finally:
            dist.destroy_process_group()

    def _al(self, net: al.ALNetwork, steps: int, **settings: Any) -> Figures:
        _deterministic(True)
        trainer = al.Trainer(epochs=1, lr=1e-4, precision=torch.bfloat16, **settings)
        # a window that is not timed: its memory is made once
        warm = batches(self.sizes, settings.get("window", self.window))
        trainer.fit(net, al.LoaderBatches(warm))
        data = al.LoaderBatches(batches(self.sizes, steps))
        return self._timed(lambda: trainer.fit(net, data), steps) | {"sum": _sum(net)}

    def _end_to_end(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, steps: int
    ) -> Figures:
        def train(data: Iterable[tuple[Tensor, Tensor]]) -> None:
            for x, y in data:
                with torch.autocast(DEVICE, torch.bfloat16):
                    loss = model(x.to(DEVICE), y.to(DEVICE))
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()

        _deterministic(False)
        train(batches(self.sizes, 1))
        data = batches(self.sizes, steps)
        return self._timed(lambda: train(data), steps)

    def _timed(self, function: Callable[[], object], steps: int) -> Figures:
        if DEVICE == "cuda":
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_stats()
        begin = time.perf_counter()
        function()
        if DEVICE == "cuda":
            torch.cuda.synchronize()
        seconds, after = time.perf_counter() - begin, torch.cuda.memory_stats()
        grown = {name: after.get(name, 0) - before.get(name, 0) for name in ALLOCATOR}
        return {
            "tokens_per_second": round(steps * self.sizes.tokens / seconds, 1),
            "peak_gib": round(torch.cuda.max_memory_allocated() / GIB, 2),
            **grown,
        }


def bus() -> Figures:
    """Return how fast a GiB of pinned memory goes to the card and comes from it."""
    host = torch.empty(GIB, dtype=torch.uint8, pin_memory=DEVICE == "cuda")
    card = torch.empty_like(host, device=DEVICE)
    found = {}
    for name, source, target in [("to_card", host, card), ("from_card", card, host)]:
        for _ in range(2):  # the first one warms up
            begin = time.perf_counter()
            target.copy_(source)
            found[f"{name}_gib_per_second"] = round(1 / (time.perf_counter() - begin), 1)
    return found


def _deterministic(wanted: bool) -> None:
    """Let kernels add in one order, so that two runs have equal bits; rivals need not."""
    torch.use_deterministic_algorithms(wanted)
    torch.utils.deterministic.fill_uninitialized_memory = False


def _sum(net: al.ALNetwork) -> int:
    """Return a number that two networks of equal bits share: the sum of all bits' words."""
    store = getattr(net, "store", None)
    total = 0
    for name, part in net.parts().items():
        weights = dict(part.named_parameters()) if store is None else store.look(name)
        for weight in weights.values():
            total += int(weight.detach().to(DEVICE).view(torch.int32).sum(dtype=torch.int64))
    return total


def tried(name: str, function: Callable[[], Figures], limit: int | None) -> Figures:
    """Return what came of a measurement within a limit of the card, or why it failed."""
    gc.collect()
    if DEVICE == "cuda":
        torch.cuda.empty_cache()
        whole = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, (limit or whole) / whole))
    begin = time.perf_counter()
    try:
        figures = function()
    except Exception as error:  # one rival that does not run must not end the others
        figures = {"failed": f"{type(error).__name__}: {error}"[:400]}
    print(name, figures, f"({time.perf_counter() - begin:.0f} s in all)", flush=True)
    return figures


def measured(contest: Contest, arguments: argparse.Namespace) -> dict[str, list[Figures]]:
    """Measure until the time is up, the most important first."""
    end = time.monotonic() + 60 * arguments.minutes
    steps, limit = 3 * contest.window, contest.limit
    first, *others = arguments.windows
    parts: list[tuple[str, Callable[[], Figures], int | None]] = [
        ("bus", bus, None),
        (f"offloaded, K={first}", lambda: contest.offloaded(first, steps), limit),
        ("resident", lambda: contest.resident(steps), None),
        ("plan", contest.planned, limit),
        (f"offloaded, K={first}", lambda: contest.offloaded(first, steps), limit),
        ("resident", lambda: contest.resident(steps), None),
        *(
            (f"offloaded, K={k}", lambda k=k: contest.offloaded(k, max(k, 8)), limit)
            for k in others
        ),
        ("backpropagation, checkpointing", lambda: contest.checkpointed(16), None),
        ("resident within the limit", lambda: contest.resident(1), limit),
        ("FSDP2, CPUOffloadPolicy, checkpointing", lambda: contest.fully_sharded(3), limit),
    ]
    found: dict[str, list[Figures]] = {}
    for name, part, room in parts:
        if time.monotonic() < end and re.match(arguments.only, name):
            found.setdefault(name, []).append(tried(name, part, room))
    return found


def speeds_of(some: list[Figures]) -> list[float]:
    """Return the tokens a second of the measurements that came to an end."""
    return [one["tokens_per_second"] for one in some if "tokens_per_second" in one]


def main() -> None:
    """Measure; print a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=6)
    parser.add_argument("--layers", type=int, default=8, help="of two blocks each")
    parser.add_argument("--width", type=int, default=4096)
    parser.add_argument("--inner", type=int, default=11008, help="width inside feed-forward maps")
    parser.add_argument("--vocabulary", type=int, default=32000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--limit-gib", type=float, default=24, help="of the card's memory")
    parser.add_argument("--windows", type=int, nargs="+", default=[16, 4, 1, 64])
    parser.add_argument("--only", default="", help="measurements whose names begin so (regex)")
    arguments = parser.parse_args()
    sizes = Sizes(
        arguments.layers, arguments.width, arguments.inner, arguments.vocabulary,
        arguments.batch, arguments.length,
    )  # fmt: skip
    limit = round(arguments.limit_gib * GIB)
    contest = Contest(sizes, arguments.windows[0], limit)
    found = measured(contest, arguments)
    parameters = sizes.parameters
    speeds = {
        name: statistics.median(speeds_of(some)) for name, some in found.items() if speeds_of(some)
    }
    resident = speeds.get("resident")
    ends = [
        found.get(name, [{}])[0].get("sum")
        for name in (f"offloaded, K={contest.window}", "resident")
    ]
    print(
        json.dumps(
            {
                "parameters": parameters,
                "limit_gib": arguments.limit_gib,
                "state_over_limit": round(16 * parameters / limit, 2),
                "moved_gib_per_step": round(24 * parameters / GIB / arguments.windows[0], 2),
                "share_of_resident": {
                    name: round(speed / resident, 3) for name, speed in speeds.items() if resident
                },
                "equal": None not in ends and ends[0] == ends[1],
                "measured": found,
                "torch": torch.__version__,
                "hardware": describe_hardware(DEVICE),
            }
        )
    )


if __name__ == "__main__":
    main()
