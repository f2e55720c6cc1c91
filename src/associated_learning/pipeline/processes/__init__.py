"""Stages in several processes: how they meet, what they send, how they notice a failure."""
