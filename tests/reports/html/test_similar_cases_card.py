"""The similar cases on the page of a radiograph."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from boneage.ages import Sex
from boneage.assessment import Assessment
from boneage.assessor import Assessor
from boneage.model.folder import load_model
from boneage.radiograph import Radiograph
from boneage.reports import AssessmentRecord
from boneage.reports.html.radiograph_page import radiograph_page
from boneage.similar import SimilarCase, SimilarCases

CASES = tuple(
    SimilarCase(name, age, distance)
    for name, age, distance in (("1377", 118.0, 0.051), ("a<b>", 120.0, 0.062), ("9", 120.0, 0.07), ("12", 150.0, 0.2))
)
FOUND = SimilarCases(CASES, 120.0, "rsna & co", 7.25)


def answered(model: Path, hand: Radiograph, sex: str, **similar_cases: SimilarCases) -> Assessment:
    plain = Assessor(load_model(model)).assess(hand, sex)
    answers = {
        sex: replace(answer, bone_age_months=124.04, similar_cases=similar_cases.get(sex.value))
        for sex, answer in plain.answers.items()
    }
    return replace(plain, answers=answers)


def card_of(assessment: Assessment) -> str:
    """The part of the page about similar cases; empty where there is none."""
    page = radiograph_page(AssessmentRecord.of(assessment), assessment)
    found = re.search(r"<h2>Similar cases of the same sex</h2>.*?</section>", page, re.DOTALL)
    return found[0] if found else ""


def test_ages_and_both_opinions_are_on_the_page(standin_model: Path, hand: Radiograph) -> None:
    assessment = answered(standin_model, hand, "male", male=FOUND)
    card = card_of(assessment)
    assert re.search(r"Median of 4 cases</div><b>10 y 0 mo</b> <span[^>]*>120\.0 months", card)
    assert re.search(r"Bone age by the model</div><b>10 y 4 mo</b> <span[^>]*>124\.0 months", card)
    assert re.search(r"Difference</div><b>4\.0 months</b> <span[^>]*>\(at most 7\.2 in 95 % of cases\)", card)
    assert re.search(r"<td>1377</td><td[^>]*>9 y 10 mo</td><td[^>]*>0\.05<", card)
    assert "<td>a&lt;b&gt;</td>" in card
    assert "rsna &amp; co" in card
    assert card.count("<circle") == 4
    heights = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', card)
    at_120 = [(x, y) for x, y in heights if heights.count((x, y)) == 1 and [a for a, _ in heights].count(x) == 2]
    assert len({y for _, y in at_120}) == 2  # two cases of one age are both seen


def test_both_sexes_have_their_own_cases(standin_model: Path, hand: Radiograph) -> None:
    girls = SimilarCases((SimilarCase("girl", 96.0, 0.1),), 96.0, "rsna")
    assessment = answered(standin_model, hand, "unknown", male=FOUND, female=girls)
    card = card_of(assessment)
    male, female = card.index("If male"), card.index("If female")
    assert male < card.index("1377") < female < card.index("<td>girl</td>")
    assert "Median of 1 case<" in card[female:]
    assert "95 %" not in card[female:]  # nothing was measured
    alone = answered(standin_model, hand, "unknown", male=FOUND)
    assert "If female" not in card_of(alone)


def test_without_an_index_there_is_no_card(standin_model: Path, hand: Radiograph) -> None:
    assessment = answered(standin_model, hand, "female")
    assert card_of(assessment) == ""
    assert "imilar cases" not in radiograph_page(AssessmentRecord.of(assessment), assessment)


@pytest.mark.parametrize("months", [1.0, 3.0, 120.0, 240.0])
def test_every_dot_is_on_the_picture(standin_model: Path, hand: Radiograph, months: float) -> None:
    cases = tuple(SimilarCase(str(at), age, 0.1 + at) for at, age in enumerate((months, months, 60.0)))
    assessment = answered(standin_model, hand, "male", male=SimilarCases(cases, months, "d"))
    answers = {Sex.MALE: replace(assessment.answers[Sex.MALE], bone_age_months=months)}
    card = card_of(replace(assessment, answers=answers))
    (height,) = re.findall(r'viewBox="0 0 620 (\d+)"', card)
    for x, y in re.findall(r'<circle cx="([-\d.]+)" cy="([-\d.]+)"', card):
        assert 4 <= float(x) <= 616
        assert 4 <= float(y) <= float(height)
