from __future__ import annotations

from pathlib import Path

import pytest

from boneage.errors import UsageError
from boneage.training.pipeline import check
from boneage.training.recipes import NAMES, find_recipe, replaced
from boneage.training.recipes.settings import Recipe


@pytest.mark.parametrize("name", NAMES)
def test_shipped_recipes_are_sound_and_say_what_they_cost(name: str) -> None:
    recipe = find_recipe(name)
    check(recipe)
    assert recipe.name == name
    text = (Path(find_recipe.__code__.co_filename).parent / f"{name}.py").read_text(encoding="utf-8")
    for word in ("Command:", "Hardware:", "Hours:", "Score:"):
        assert word in text


def test_settings_are_replaced_by_dotted_keys() -> None:
    recipe = replaced(
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
    assert recipe.pretrained == "none"  # a random start, and no missing value
    assert recipe.student is True
    assert recipe.tau.grid == (0.1, 0.2)
    assert recipe.hand.schedule.steps == ((2, 1e-3), (5, 1e-4))
    assert recipe.hand.backbone.pretrained is None
    assert recipe.region_2.input_view == "E"
    assert replaced(recipe, ["regressor.sex=", "regions="]).regressor.sex == ()


@pytest.mark.parametrize(
    ("assignment", "says"),
    [
        ("regressor.epochs=3", "there is no 'epochs' here; there are views, size"),
        ("colour=red", "there is no 'colour'"),
        ("regressor=big", "that is a group"),
        ("regressor.size.x=1", "is a value, not a group"),
        ("regressor.size=big", "write a whole number"),
        ("regressor.size=1.5", "write a whole number"),
        ("hand.margin=wide", "write a number"),
        ("student=yes", "write true or false"),
        ("hand.pooling=mean", "take one of gap, gmp"),
        ("regressor.views=H,R3", "take one of O, H"),
        ("hand.schedule.steps=5", "tuple of tuples"),
        ("hand.schedule.steps=((1, 2, 3),)", "each inner tuple has 2 numbers"),
        ("hand.schedule.steps=((", "--set hand.schedule.steps"),
        ("hand.size", "write key=value"),
    ],
)
def test_wrong_settings_are_wrong_usage(assignment: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        replaced(find_recipe("tiny"), [assignment])
    assert says in str(caught.value)


def test_recipes_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("from boneage.training.recipes.settings import Recipe\nRECIPE = Recipe(name='mine')\n")
    assert find_recipe(str(file)) == Recipe(name="mine")
    file.write_text("RECIPE = 3\n")
    with pytest.raises(UsageError, match="no RECIPE"):
        find_recipe(str(file))
    for name in ("huge", str(tmp_path), str(tmp_path / "gone.py")):
        with pytest.raises(UsageError, match="is no recipe"):
            find_recipe(name)


@pytest.mark.parametrize(
    ("assignments", "says"),
    [
        (["regions=region_1"], "needs hand to be found before"),
        (["regions=hand,region_2"], "needs region_1"),
        (["regions=hand"], "regressor.views holds R1"),
        (["regions="], "regions=none"),
        (["regressor.views="], "is empty"),
        (["regions=hand,region_1", "regressor.views=H", "student=true"], "all three regions"),
        (["hand.input_view=H"], "needs hand"),
        (["regressor.augmentation.jpeg=7"], r"jitter\.jpeg=7: chances are from 0 to 1"),
        (["student_network.augmentation.degrade=-3"], r"jitter\.degrade=-3, "),
    ],
)
def test_recipes_that_contradict_themselves(assignments: list[str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        check(replaced(Recipe(name="mine"), ["region_1.input_view=H", "region_2.input_view=HE", *assignments]))


@pytest.mark.parametrize("line", ["RECIPE = Recipe(name='mine', colour=3)", "RECIPE = ("])
def test_a_recipe_of_ones_own_that_cannot_be_run(line: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(f"from boneage.training.recipes.settings import Recipe\n{line}\n")
    with pytest.raises(UsageError, match=r"mine\.py: cannot be run as a recipe \((TypeError|SyntaxError): "):
        find_recipe(str(file))
