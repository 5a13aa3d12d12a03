"""Recipes: the shipped ones, `--set`, recipe files, and the rules that settings have to meet."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from boneage import training
from boneage.errors import TrainingError, UsageError
from boneage.training import recipes
from boneage.training.recipes import NAMES, find_recipe, find_recipe_file, replace_settings
from boneage.training.recipes.recipe import Recipe
from boneage.training.recipes.settings import Augmentation, Schedule

IMPORT = "from boneage.training.recipes.recipe import Recipe\n"


@pytest.mark.parametrize("name", NAMES)
def test_shipped_recipes_are_sound_and_name_their_cost(name: str) -> None:
    recipe = find_recipe(name)
    recipe.check()
    assert recipe.name == name
    text = find_recipe_file(name).read_text(encoding="utf-8")
    for word in ("Command:", "Hardware:", "Hours:", "Score:"):
        assert word in text


def test_every_recipe_file_of_the_package_is_listed_and_a_hyphen_becomes_an_underscore() -> None:
    folder = Path(recipes.__file__).parent
    files = {path for path in folder.glob("*.py") if "\nRECIPE = " in path.read_text(encoding="utf-8")}
    assert {find_recipe_file(name) for name in NAMES} == files
    assert find_recipe_file("compact-small") == folder / "compact_small.py"


def test_settings_are_replaced_by_dotted_keys() -> None:
    recipe = replace_settings(
        find_recipe("compact"),
        [
            "regressor.schedule.epochs=3",
            "regressor.views=O, H",
            "regressor.sex=64,32",
            "hand.tau=none",
            "region_1.backbone.stages=none",
            "region_1.tau=0.25",
            "image_short_side=none",
            "pretrained=none",
            "student=true",
            "tau.grid=0.1,0.2",
            "hand.schedule.steps=((2, 1e-3), (5, 1e-4))",
            "hand.backbone.pretrained=",
            "region_2.input_view=E",
        ],
    )
    assert recipe.regressor.schedule.epochs == 3
    assert recipe.regressor.views == ("O", "H")
    assert recipe.regressor.sex == (64, 32)
    assert recipe.hand.tau is None
    assert recipe.region_1.backbone.stages is None
    assert recipe.region_1.tau == 0.25
    assert recipe.image_short_side is None
    assert recipe.pretrained == "none"  # a random start, not a missing value
    assert recipe.student is True
    assert recipe.tau.grid == (0.1, 0.2)
    assert recipe.hand.schedule.steps == ((2, 1e-3), (5, 1e-4))
    assert recipe.hand.backbone.pretrained is None
    assert recipe.region_2.input_view == "E"
    assert replace_settings(recipe, ["regressor.sex=", "regions="]).regressor.sex == ()


def test_a_group_that_is_left_out_comes_with_its_defaults() -> None:
    recipe = find_recipe("tiny")
    assert recipe.gate is None
    gate = replace_settings(recipe, ["gate.refused=0.01"]).gate
    assert gate is not None
    assert (gate.refused, gate.size) == (0.01, 128)


@pytest.mark.parametrize(
    ("assignment", "code"),
    [
        ("regressor.epochs=3", "unknown_setting"),
        ("colour=red", "unknown_setting"),
        ("regressor.size.x=1", "unknown_setting"),
        ("regressor=big", "setting_is_a_group"),
        ("regressor.size=big", "malformed_setting"),
        ("regressor.size=1.5", "malformed_setting"),
        ("hand.margin=wide", "malformed_setting"),
        ("student=yes", "malformed_setting"),
        ("hand.pooling=mean", "malformed_setting"),
        ("regressor.views=H,R3", "malformed_setting"),
        ("hand.schedule.steps=5", "malformed_setting"),
        ("hand.schedule.steps=((1, 2, 3),)", "malformed_setting"),
        ("hand.schedule.steps=((", "malformed_setting"),
        ("gate=on", "malformed_setting"),
        ("hand.size", "malformed_assignment"),
        ("regressor.views=", "no_views"),
        ("regressor.augmentation.jpeg=7", "setting_out_of_range"),
        ("student_network.augmentation.degrade=-3", "setting_out_of_range"),
        ("hand.schedule.epochs=0", "setting_out_of_range"),
        ("hand.schedule.steps=((5, 1e-3), (2, 1e-4))", "setting_out_of_range"),
        ("regressor.schedule.size_schedule=((0, 160), (0, 192))", "setting_out_of_range"),
        ("hand.tau=1.5", "setting_out_of_range"),
        ("hand.tau=0", "setting_out_of_range"),
        ("hand.smallest=0", "setting_out_of_range"),
        ("tau.grid=", "setting_out_of_range"),
        ("region_1.backbone.output_stride=3", "setting_out_of_range"),
        ("gate.refused=1", "setting_out_of_range"),
    ],
)
def test_a_wrong_assignment_is_named(assignment: str, code: str) -> None:
    with pytest.raises(UsageError) as raised:
        replace_settings(find_recipe("tiny"), [assignment])
    assert raised.value.code == code
    assert str(raised.value).startswith(f"--set {assignment}: ")


def test_recipes_are_read_without_torch() -> None:
    code = (
        "import sys; from boneage.training import find_recipe, replace_settings; "
        "replace_settings(find_recipe('tiny'), ['seed=1']).check(); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_the_package_offers() -> None:
    for name in training.__all__:
        assert getattr(training, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        training.nothing  # noqa: B018


def test_ranges_hold_in_python_too(refuses: Any) -> None:
    with refuses(UsageError, "setting_out_of_range"):
        Schedule(average=1.0)
    with refuses(UsageError, "setting_out_of_range"):
        Augmentation(brightness=2.0)


def test_recipes_of_ones_own(tmp_path: Path, refuses: Any) -> None:
    file = tmp_path / "mine.py"
    file.write_text(f"{IMPORT}RECIPE = Recipe(name='mine')\n")
    assert find_recipe(str(file)) == Recipe(name="mine")
    for name in ("huge", str(tmp_path), str(tmp_path / "gone.py")):
        with refuses(UsageError, "unknown_recipe"):
            find_recipe(name)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("RECIPE = 3", "broken_recipe"),
        ("RECIPE = Recipe(name='mine', colour=3)", "broken_recipe"),
        ("RECIPE = (", "broken_recipe"),
        ("from boneage.training.recipes.settings import Schedule; Schedule(epochs=0)", "setting_out_of_range"),
    ],
)
def test_a_broken_recipe_file_is_named(line: str, code: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(f"{IMPORT}{line}\n")
    with pytest.raises(UsageError) as raised:
        find_recipe(str(file))
    assert raised.value.code == code
    assert str(raised.value).startswith(f"{file}: ")


@pytest.mark.parametrize(
    ("assignments", "code"),
    [
        (["regions=region_1"], "region_not_found"),
        (["regions=hand,region_2"], "region_not_found"),
        (["regions=hand"], "region_not_found"),
        (["regions="], "region_not_found"),
        (["regions=hand,region_1", "regressor.views=H", "student=true"], "region_not_found"),
        (["regions=hand", "regressor.views=H", "gate.refused=0.01"], "region_not_found"),
        (["hand.input_view=H"], "region_not_found"),
        (["region_1.input_view=O", "region_1.prior=true"], "prior_needs_hand"),
        (["region_2.shares=region_1", "region_2.size=160"], "shared_network_size"),
        (["hand.shares=region_1"], "shared_network_region"),
        (["regional_heads=true"], "regional_heads_need_region_1"),
        (["seed=-1"], "setting_out_of_range"),
        (["phase_1_cases=0"], "setting_out_of_range"),
    ],
)
def test_recipes_that_contradict_themselves(assignments: list[str], code: str, refuses: Any) -> None:
    recipe = replace_settings(Recipe(name="mine"), ["region_1.input_view=H", "region_2.input_view=HE", *assignments])
    with refuses(UsageError, code):
        recipe.check()


@pytest.mark.parametrize("key", ["pretrained", "gate.backbone.pretrained", "tau.regressor.backbone.pretrained"])
def test_starting_weights_must_exist(key: str, tmp_path: Path, refuses: Any) -> None:
    recipe = replace_settings(find_recipe("tiny"), [f"{key}={tmp_path / 'gone.safetensors'}"])
    with refuses(TrainingError, "no_starting_weights"):
        recipe.check()


def test_localizers_of_a_model_find_every_region() -> None:
    recipe = replace_settings(Recipe(name="mine"), ["regions=", "localizers=somewhere", "pretrained=none"])
    recipe.check()
