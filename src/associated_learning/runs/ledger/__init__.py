"""The ledger: one line of JSON a finished run, from which every published number comes."""
