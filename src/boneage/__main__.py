"""`python -m boneage`: the same as the command `boneage`."""

from __future__ import annotations

from boneage.cli import main

if __name__ == "__main__":
    main()
