"""Networks: what running one leaves behind, and what is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_an_assessment_leaves_nothing_in_the_home_folder(standin_model: Path, hand_file: Path, tmp_path: Path) -> None:
    """ONNX Runtime's telemetry would make a database and a device id in the cache folder."""
    home = tmp_path / "home"
    home.mkdir()
    places = ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")
    kept = {name: value for name, value in os.environ.items() if name.startswith(("PYTHON", "PATH", "LD_"))}
    code = "import boneage, sys; print(boneage.assess(*sys.argv[1:]).bone_age_months)"
    done = subprocess.run(
        [sys.executable, "-c", code, str(hand_file), "male", str(standin_model)],
        env={**kept, **dict.fromkeys(places, str(home)), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) > 0
    assert [str(path.relative_to(home)) for path in home.rglob("*")] == []
