"""Trials that show whether layers compute and learn what the model they were cut from does."""
