"""The gate: what it learns from, and its thresholds."""
