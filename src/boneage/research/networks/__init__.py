"""Networks that only experiments train."""
