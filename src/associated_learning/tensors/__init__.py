"""Tensors as they travel: nested ones, padded sequences, devices, modes, checks of batches."""
