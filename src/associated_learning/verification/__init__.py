"""Proofs on a user's own network: the laws of AL, equal bits of executors, memory."""
