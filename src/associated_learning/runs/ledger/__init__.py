"""The ledger of finished runs, from which every published number comes."""
