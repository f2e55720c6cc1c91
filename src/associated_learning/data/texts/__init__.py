"""Texts to tokens, tokens to numbers, and word vectors."""
