"""Tests that train use one thread and start from the same seed."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True)
def _one_thread_and_no_surprise() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
