"""``al reproduce`` and ``al report``: one subcommand a file."""
