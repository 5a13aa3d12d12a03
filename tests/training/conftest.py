"""The toy of these tests, for pytest's fixtures; killed_training.py loads the same file."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("boneage_toy", Path(__file__).with_name("toy.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def toy() -> ModuleType:
    return _load()


@pytest.fixture(autouse=True)
def _one_thread_and_no_surprise() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
