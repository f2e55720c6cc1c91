"""Exports that are whole: what a graph does not tell of its run, and a runner without PyTorch."""
