"""A run of a model on an example, written down: which module did what to which tensors."""
