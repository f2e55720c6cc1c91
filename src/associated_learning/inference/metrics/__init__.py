"""Metrics of torchmetrics, by name or by hand, at every depth of a network."""
