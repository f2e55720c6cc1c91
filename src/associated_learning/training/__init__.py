"""The loop around the updates: `Trainer`, what it sends through the layers, whom it tells."""
