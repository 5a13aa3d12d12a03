"""Phase II: the age network and its calibration."""
