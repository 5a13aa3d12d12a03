from __future__ import annotations

import inspect
import subprocess
import sys
from importlib import import_module

import pytest

import boneage


def test_these_names_and_no_others() -> None:
    assert set(boneage.__all__) == {
        "Assessment", "Radiograph", "Region", "Sex", "View", "__version__", "assess", "errors", "load",
    }  # fmt: skip
    assert dir(boneage) == sorted(boneage.__all__)
    for name in boneage.__all__:
        assert getattr(boneage, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'train'"):
        _ = boneage.train


def test_the_names_are_those_of_their_modules() -> None:
    for name, module in boneage._HOME.items():
        assert getattr(boneage, name) is getattr(import_module(module), name)


def test_signatures() -> None:
    assert list(inspect.signature(boneage.assess).parameters) == ["path", "sex", "model"]
    assert list(inspect.signature(boneage.load).parameters) == ["model", "index", "refuse"]


def test_every_public_name_is_documented() -> None:
    for name in set(boneage.__all__) - {"__version__"}:
        assert inspect.getdoc(getattr(boneage, name)), name


def test_importing_boneage_alone_is_light() -> None:
    script = "import boneage, sys; assert not {'numpy', 'scipy', 'onnxruntime', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True, env={"PYTHONPATH": ":".join(sys.path)}, timeout=60)
