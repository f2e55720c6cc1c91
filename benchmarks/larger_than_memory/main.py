"""Can a network train whose state is many times the memory, at what share of full speed?

Run: ``python benchmarks/larger_than_memory/main.py``. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from networks import Sizes
from rich.console import Console
from rich.table import Table

from associated_learning.runs.folder.provenance import describe_hardware

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent))  # for `pictures`
IMAGES = HERE.parents[1] / "docs" / "images"
BYTES = 16  # of float32: a weight, its gradient and Adam's two moments
MIB = 2**20
PROOF = Sizes(layers=88, width=512, batch=4, length=16)
FITS = Sizes(layers=8, width=384, batch=8, length=32)
WINDOWS = (1, 4, 16, 64)
LABELS = {
    "bp": "BP",
    "bp_checkpointing": "BP, checkpointing",
    "resident": "AL, resident",
    "offloaded": "AL, offloaded",
}


def run(method: str, sizes: Sizes, folder: Path | None, **options: Any) -> dict[str, Any] | None:
    """Train in a process of its own; None where it does not fit into its limit.

    Raises:
        RuntimeError: It failed for another reason.
    """
    given = {**sizes._asdict(), **options, "folder": folder}
    words = [sys.executable, str(HERE / "run.py"), method]
    for name, value in given.items():
        if value is not None and value is not False:
            words += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found
    if "can't allocate memory" in done.stderr or "MemoryError" in done.stderr:
        return None
    raise RuntimeError(f"{' '.join(words)} failed:\n{done.stderr[-2000:]}")


def prove(limit: int, steps: int, window: int, threads: int, folder: Path | None) -> dict[str, Any]:
    """Train what is larger than the limit, and all that does not fit; compare the digests."""
    options = {"steps": steps, "digest": True, "threads": threads}
    whole = run("resident", PROOF, folder, **options)
    assert whole is not None
    limited = {
        method: run(method, PROOF, folder, limit=limit, window=window, **options)
        for method in LABELS
    }
    offloaded = limited["offloaded"]
    unlimited = {
        method: run(method, PROOF, folder, steps=2, threads=threads)
        for method in ("bp", "bp_checkpointing")
    }
    return {
        "state_over_limit": round(PROOF.parameters * BYTES / (limit * MIB), 2),
        "limit_mib": limit,
        "limited_by": "RLIMIT_DATA",
        "state_mib": PROOF.parameters * BYTES // MIB,
        "equal": offloaded is not None and offloaded["digest"] == whole["digest"],
        "bp_fits": limited["bp"] is not None,
        "bp_checkpointing_fits": limited["bp_checkpointing"] is not None,
        "resident_fits": limited["resident"] is not None,
        "peak_mib": None if offloaded is None else offloaded["peak_mib"],
        "resident_peak_mib": whole["peak_mib"],
        "bp_peak_mib": (unlimited["bp"] or {}).get("peak_mib"),
        "bp_checkpointing_peak_mib": (unlimited["bp_checkpointing"] or {}).get("peak_mib"),
        "proof_seconds": round(offloaded["seconds"], 1) if offloaded else None,
        "proof_resident_seconds": round(whole["seconds"], 1),
    }


def measure_shares(steps: int, rounds: int, threads: int, folder: Path | None) -> dict[str, float]:
    """Return the share of the resident speed for each window: the best of some rounds each."""
    options = {"steps": steps, "threads": threads}
    seconds: dict[str, list[float]] = {}
    for _ in range(rounds):  # in turn, so that other work on the machine meets all of them
        for window in (None, *WINDOWS):
            method = "resident" if window is None else "offloaded"
            found = run(method, FITS, folder, window=window, **options)
            assert found is not None
            seconds.setdefault(str(window), []).append(found["seconds"])
    resident = min(seconds.pop("None"))
    return {window: round(resident / min(found), 3) for window, found in seconds.items()}


def plot_shares(shares: dict[str, float]) -> None:
    """Draw the share of full speed against the window."""
    from pictures import canvas, save

    figure, (axes,) = canvas(width=6.4)
    axes.plot([int(k) for k in shares], list(shares.values()), "o-", color="#2a7de1")
    for k, share in shares.items():
        axes.annotate(f"{share:.2f}", (int(k), share), (0, 7), textcoords="offset points")
    axes.set_xscale("log", base=4)
    axes.set_xticks([int(k) for k in shares], list(shares))
    axes.set_ylim(0, 1.15)
    axes.set_xlabel("window K: minibatches that a layer takes before the next one")
    axes.set_ylabel("share of full speed")
    save(figure, IMAGES / "offload_window.svg")


def plot_memory(found: dict[str, Any]) -> None:
    """Draw what each method needs for the same network, against the limit."""
    from pictures import canvas, save

    figure, (axes,) = canvas(width=6.4)
    keys = {
        "bp": "bp_peak_mib",
        "bp_checkpointing": "bp_checkpointing_peak_mib",
        "resident": "resident_peak_mib",
        "offloaded": "peak_mib",
    }
    values = [found[key] or 0 for key in keys.values()]
    colours = ["#8a8f98"] * 3 + ["#2a7de1"]
    axes.grid(visible=False, axis="y")  # it would strike the figures out
    axes.barh([LABELS[name] for name in keys], values, color=colours)
    for row, value in enumerate(values):
        axes.annotate(f"{value:,} MiB", (value, row), (4, -4), textcoords="offset points")
    axes.axvline(found["limit_mib"], color="#d62839", linestyle="--")
    axes.annotate(
        f"limit {found['limit_mib']} MiB", (found["limit_mib"], 3.45), (4, 0),
        textcoords="offset points", color="#d62839",
    )  # fmt: skip
    axes.set_xlim(0, max(values) * 1.2)
    axes.set_xlabel(f"peak memory of the process; training state is {found['state_mib']:,} MiB")
    axes.invert_yaxis()
    save(figure, IMAGES / "larger_than_memory.svg")


def main() -> None:
    """Print tables, draw the figures, and print all figures as a last line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=int, default=448, help="MiB of private memory")
    parser.add_argument("--steps", type=int, default=16, help="of the proof")
    parser.add_argument("--window", type=int, default=8, help="of the proof")
    parser.add_argument("--share-steps", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1, help="inside operations of torch")
    parser.add_argument("--folder", type=Path, help="where stores go; the system's by default")
    arguments = parser.parse_args()
    threads, folder = arguments.threads, arguments.folder
    shares = measure_shares(arguments.share_steps, arguments.rounds, threads, folder)
    plot_shares(shares)
    found = prove(arguments.limit, arguments.steps, arguments.window, threads, folder)
    plot_memory(found)
    table = Table("method", "peak, MiB", f"within {arguments.limit} MiB")
    table.add_row("BP", str(found["bp_peak_mib"]), str(found["bp_fits"]))
    for name, fits in (("bp_checkpointing", found["bp_checkpointing_fits"]),):
        table.add_row(LABELS[name], str(found[f"{name}_peak_mib"]), str(fits))
    table.add_row(LABELS["resident"], str(found["resident_peak_mib"]), str(found["resident_fits"]))
    table.add_row(LABELS["offloaded"], str(found["peak_mib"]), str(found["peak_mib"] is not None))
    Console(width=100).print(table)
    best = max(shares.values())
    hardware = describe_hardware("cpu")
    print(json.dumps({**found, "share_of_resident": best, "share_k": shares, "hardware": hardware}))


if __name__ == "__main__":
    main()
