"""Runs: a configuration, a folder, a row of the ledger."""
