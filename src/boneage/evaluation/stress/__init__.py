"""How far answers move when a radiograph is rotated, marked or compressed."""
