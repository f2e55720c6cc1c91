"""On one GPU: a causal Transformer whose training state is several times what the card may use.

Run: ``python benchmarks/larger_than_memory/gpu.py --minutes 6``. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import torch
from networks import Sizes, al_layers, batches, bp_network
from torch import nn

import associated_learning as al
from associated_learning.runs.folder.provenance import describe_hardware

GIB = 2**30


def tokens_a_second(net: al.Network, sizes: Sizes, steps: int, **settings: Any) -> dict[str, float]:
    """Train for some updates after a first window; return speed and peak of the device."""
    data = batches(sizes, steps)
    trainer = al.Trainer(epochs=1, lr=1e-4, precision=torch.bfloat16, **settings)
    trainer.fit(net, batches(sizes, settings.get("window") or 1))  # makes the optimizers' state
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    begin = time.perf_counter()
    trainer.fit(net, data)
    torch.cuda.synchronize()
    seconds = time.perf_counter() - begin
    tokens = steps * sizes.batch * sizes.length
    return {
        "tokens_per_second": round(tokens / seconds, 1),
        "peak_gib": round(torch.cuda.max_memory_allocated() / GIB, 2),
    }


def offloaded(sizes: Sizes, steps: int, window: int) -> dict[str, float]:
    """Train with the layers in pinned host memory."""
    net = al.store_layers(al_layers(sizes), al.Classes(4), "host", device="cuda")
    return tokens_a_second(net, sizes, steps, executor="offload", window=window)


def resident(sizes: Sizes, steps: int) -> dict[str, float]:
    """Train with all layers on the device."""
    net = al.ALNetwork(al_layers(sizes), al.Classes(4)).cuda()
    return tokens_a_second(net, sizes, steps, executor="sequential")


def fully_sharded(sizes: Sizes, steps: int) -> dict[str, float]:
    """Train end to end by FSDP2 with CPUOffloadPolicy and activation checkpointing."""
    import torch.distributed as dist
    from torch.distributed.fsdp import CPUOffloadPolicy, fully_shard

    dist.init_process_group(
        "cpu:gloo,cuda:nccl", init_method="tcp://127.0.0.1:29511", rank=0, world_size=1
    )
    try:
        net = bp_network(sizes, checkpointing=True)
        model: Any = net.model
        for encoder in model.layers:
            fully_shard(encoder, offload_policy=CPUOffloadPolicy())
        fully_shard(model, offload_policy=CPUOffloadPolicy())
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, fused=True)
        return _end_to_end(model, optimizer, sizes, steps)
    finally:
        dist.destroy_process_group()


def _end_to_end(
    model: nn.Module, optimizer: torch.optim.Optimizer, sizes: Sizes, steps: int
) -> dict[str, float]:
    data = list(batches(sizes, steps + 1).epoch(0))
    begin = 0.0
    for number, (x, y) in enumerate(data):
        if number == 1:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            begin = time.perf_counter()
        with torch.autocast("cuda", torch.bfloat16):
            loss = nn.functional.cross_entropy(model(x.cuda()), y.cuda())
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
    torch.cuda.synchronize()
    tokens = steps * sizes.batch * sizes.length
    return {
        "tokens_per_second": round(tokens / (time.perf_counter() - begin), 1),
        "peak_gib": round(torch.cuda.max_memory_allocated() / GIB, 2),
    }


def tried(function: Callable[[], dict[str, float]]) -> dict[str, Any]:
    """Return what came of a measurement, or why it failed."""
    torch.cuda.empty_cache()
    try:
        return function()
    except Exception as error:  # one rival that does not run must not end the others
        return {"failed": f"{type(error).__name__}: {error}"[:300]}


def main() -> None:
    """Measure until the time is up, the most important first; print a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=6)
    parser.add_argument("--layers", type=int, default=15, help="of 205 million parameters each")
    parser.add_argument("--width", type=int, default=4096)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--limit-gib", type=float, default=12, help="of the card's memory")
    parser.add_argument("--windows", type=int, nargs="+", default=[8, 1, 32])
    arguments = parser.parse_args()
    end = time.monotonic() + 60 * arguments.minutes
    whole = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(arguments.limit_gib * GIB / whole)
    sizes = Sizes(arguments.layers, arguments.width, arguments.batch, arguments.length)
    # the largest that fits with all of its layers: 16 bytes a parameter, with room for activations
    fits = sizes._replace(layers=max(1, int(0.7 * arguments.limit_gib * GIB / (16 * 205e6))))
    parts: dict[str, Callable[[], dict[str, float]]] = {
        f"offloaded, K={arguments.windows[0]}": lambda: offloaded(
            sizes, 2 * arguments.windows[0], arguments.windows[0]
        ),
        f"resident, {fits.layers} layers": lambda: resident(fits, 8),
        f"offloaded, {fits.layers} layers": lambda: offloaded(
            fits, 2 * arguments.windows[0], arguments.windows[0]
        ),
        "FSDP2, CPUOffloadPolicy, checkpointing": lambda: fully_sharded(sizes, 2),
    }
    for window in arguments.windows[1:]:
        parts[f"offloaded, K={window}"] = lambda window=window: offloaded(sizes, window, window)
    found = {}
    for name, part in parts.items():
        if time.monotonic() < end:
            found[name] = tried(part)
            print(name, found[name], flush=True)
    state = sizes.parameters * 16
    print(
        json.dumps(
            {
                "parameters": sizes.parameters,
                "state_over_limit": round(state / (arguments.limit_gib * GIB), 2),
                "moved_gib_per_step": round(
                    2 * sizes.parameters * 12 / GIB / arguments.windows[0], 2
                ),
                **found,
                "hardware": describe_hardware("cuda"),
            }
        )
    )


if __name__ == "__main__":
    main()
