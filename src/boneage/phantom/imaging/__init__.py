"""From anatomy to pixels: soft tissue, projection, texture, exposure, markers."""
