"""Campaigns: many runs of tables and figures, in parallel, resumed wherever they were killed."""
