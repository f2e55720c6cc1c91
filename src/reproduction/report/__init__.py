"""The report: tables and figures of the paper filled from the ledger, with their statistics."""
