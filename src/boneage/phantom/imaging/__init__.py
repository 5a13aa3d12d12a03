"""From anatomy to pixels: projection, texture, exposure, markers."""
