"""Random numbers that no order of execution can change: the ground of the law of exact bits."""
