"""Networks that only experiments train: L1, end to end."""
