"""Rows of numbers and categories: how files write them, where one stands, and their features."""
