"""A training run: stages on disk, fits that can be killed, the machine."""
