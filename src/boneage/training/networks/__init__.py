"""The networks of both phases, their losses, and their export."""
