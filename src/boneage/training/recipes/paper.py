"""Chen et al.'s own networks, sizes and schedules, as far as the paper's text gives them.

Command:  boneage train paper --data DIR --out runs/paper --devices 1 --workers 8
Hardware: one GPU of 24 GB or more, radiographs at their original resolution (the RSNA set), timm's ImageNet weights
Hours:    not measured yet; the networks see about 70 x 3 + 120 passes of the training set at 300-560 pixels
Score:    the paper reports 4.3 months on 500 training cases of its own choice, which is not comparable with ours

Its tau of 20 (hand) and 50 (regions) are positions on a re-read JET colour scale, that is .047 and .160 of the map's
maximum. Inception's map at 560 pixels has 16 x 16 cells. Deviations: the Gaussian label is normalised over 1..240, and
the loss of Eq. 12 (lambda 0.5) is the formula KL(G || p).
"""

from boneage.training.recipes.recipe import Recipe
from boneage.training.recipes.settings import (
    NO_AUGMENTATION,
    Backbone,
    LocalizerSettings,
    RegressorSettings,
    Schedule,
    TauSettings,
)

_PHASE_1 = Schedule(
    epochs=70,
    batch=32,
    learning_rate=3e-4,
    shape="steps",
    steps=((50, 1e-4),),
    optimizer="adam",
    weight_decay=0.0,
    gradient_clip=0.0,
    average=0.0,
    validate_every=1,
)
_PHASE_2 = Schedule(
    epochs=120,
    batch=16,
    learning_rate=3e-4,
    shape="steps",
    steps=((60, 1e-4), (90, 1e-5)),
    optimizer="adam",
    weight_decay=0.0,
    gradient_clip=0.0,
    average=0.0,
    validate_every=1,
)

RECIPE = Recipe(
    name="paper",
    image_short_side=None,
    layout="squash",
    pretrained="timm",
    seed=0,
    phase_1_cases=None,
    regions=("hand", "region_1", "region_2"),
    hand=LocalizerSettings(
        input_view="O",
        size=300,
        backbone=Backbone("inception_v3"),
        pooling="gap",
        channels=0,
        loss="l1",
        label_width=50.0,
        average_mirror=False,
        tau=0.047,
        smallest=0.05,
        components="largest",
        augmentation=NO_AUGMENTATION,
        schedule=_PHASE_1,
    ),
    region_1=LocalizerSettings(
        input_view="O",
        size=560,
        backbone=Backbone("inception_v3"),
        pooling="gmp",
        channels=0,
        loss="l1",
        label_width=50.0,
        average_mirror=False,
        tau=0.160,
        smallest=0.05,
        components="largest",
        augmentation=NO_AUGMENTATION,
        schedule=_PHASE_1,
    ),
    region_2=LocalizerSettings(
        input_view="E",
        size=560,
        backbone=Backbone("inception_v3"),
        pooling="gmp",
        channels=0,
        loss="l1",
        label_width=50.0,
        average_mirror=False,
        tau=0.160,
        smallest=0.05,
        components="largest",
        augmentation=NO_AUGMENTATION,
        schedule=_PHASE_1,
    ),
    # For --set hand.tau=none and the like: the search of Figure 5a, whose networks the paper does not describe.
    tau=TauSettings(
        grid=(0.047, 0.127, 0.144, 0.160, 0.177, 0.194, 0.211),
        mode="one_each",
        cases=None,
        regressor=RegressorSettings(
            size=224,
            backbone=Backbone("legacy_xception"),
            head="gap",
            dropout=0.2,
            sex=(32,),
            kl_weight=0.5,
            label_sd=15.0,
            average_mirror=False,
            augmentation=NO_AUGMENTATION,
            schedule=Schedule(
                epochs=8,
                batch=32,
                learning_rate=1e-3,
                shape="onecycle",
                warmup=0.15,
                optimizer="adamw",
                weight_decay=1e-4,
                gradient_clip=1.0,
                average=0.998,
            ),
        ),
    ),
    student=False,
    regressor=RegressorSettings(
        views=("H", "R1", "R2"),
        size=560,
        backbone=Backbone("legacy_xception"),
        fusion="stacked",
        head="paper",
        dropout=0.0,
        sex=(32,),
        kl_weight=0.5,
        kl_direction="target_first",
        label_sd=15.0,
        average_mirror=False,
        augmentation=NO_AUGMENTATION,
        schedule=_PHASE_2,
    ),
    gate=None,
    regional_heads=False,
    fp16_weights=True,
)
