"""A child's bones in one posture, in millimetres of an adult hand."""

from __future__ import annotations

import numpy as np

from boneage.phantom.anatomy.development import Child
from boneage.phantom.anatomy.fingers import add_ray
from boneage.phantom.anatomy.pieces import Build, Posture, Skeleton
from boneage.phantom.anatomy.skeleton_plan import FOREARM_PLAN, RAYS
from boneage.phantom.anatomy.wrist import add_carpals, add_forearm_bone


def build_skeleton(child: Child, age_months: float, posture: Posture, rng: np.random.Generator) -> Skeleton:
    """Build all pieces of bone of a child's hand.

    Args:
        child: whose hand it is.
        age_months: bone age.
        posture: how the hand lies.
        rng: the individual part of every bone.
    """
    growth = child.growth(age_months)
    stout = (1.0 + 0.5 * max(0.0, 0.52 - growth)) * float(np.clip(rng.normal(1.0, 0.04), 0.9, 1.1))
    build = Build(child=child, age_months=age_months, growth=growth, stout=stout, rng=rng)
    hand = Skeleton(states={name: child.centre(name, age_months) for name in child.appears_months})
    # The order does not matter: attenuations of overlapping bones add up.
    for number in range(1, len(RAYS) + 1):
        add_ray(hand, build, number=number, posture=posture)
    add_carpals(hand, build)
    for name, plan in FOREARM_PLAN.items():
        add_forearm_bone(hand, build, name=name, plan=plan, wrist_degrees=posture.wrist_degrees)
    return hand
