"""What the system tells of other ranks, and of whom it is asked."""

from __future__ import annotations

import time

from associated_learning.pipeline.processes.neighbours import Neighbours, own_place


def test_only_processes_of_the_same_parent_are_looked_at() -> None:
    """What stands in the store of a run may be a stranger's."""
    machine, process, begun = own_place().split("/")
    places = [
        own_place(), f"{machine}/1/0", f"{machine}/{process}/0", f"elsewhere/{process}/{begun}",
        f"{machine}/{'9' * 100}/0", f"{machine}/-1/0", machine, "-", "",
    ]  # fmt: skip
    neighbours, all_of_them = Neighbours(), dict(enumerate(places))
    assert neighbours.computing(all_of_them, elapsed=1.0) == set()
    begin = time.process_time()
    while time.process_time() - begin < 0.2:
        pass
    assert neighbours.computing(all_of_them, elapsed=0.5) == {0}
    assert not any(map(neighbours.wake, places))
