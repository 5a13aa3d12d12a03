"""Progress on standard error."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from boneage.progress import progress, say, track


def without_rate(text: str) -> list[str]:
    return [re.sub(r" \(.* a second\)$", "", line) for line in text.splitlines()]


def test_a_line_for_every_tenth_of_the_way(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track(range(25), "Assessing", 25)) == list(range(25))
    lines = without_rate(capsys.readouterr().err)
    assert lines == [f"Assessing: {done} of 25" for done in (3, 5, 8, 10, 13, 15, 18, 20, 23, 25)]


def test_chunks_count_by_their_size(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("Decoding", 2000) as advance:
        for chunk in (250, 40, 200, 1510):
            advance(chunk)
    assert without_rate(capsys.readouterr().err) == [
        "Decoding: 250 of 2,000",
        "Decoding: 490 of 2,000",
        "Decoding: 2,000 of 2,000",
    ]


def test_nothing_is_shown_if_quiet_or_for_one_item(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track("abc", "Assessing", 3, quiet=True)) == ["a", "b", "c"]
    assert list(track("a", "Assessing", 1)) == ["a"]
    assert list(track("", "Assessing", 0)) == []
    say("hidden", quiet=True)
    assert capsys.readouterr() == ("", "")
    say("shown")
    assert capsys.readouterr() == ("", "shown\n")


def test_a_bar_on_a_terminal_leaves_standard_output_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    for item in track(range(3), "Assessing", 3):
        print(item)
    shown = capsys.readouterr()
    assert shown.out == "0\n1\n2\n"
    assert "a second" not in shown.err


def test_rich_is_loaded_only_for_a_bar() -> None:
    code = "import sys; from boneage.progress import track; list(track('ab', 'x', 2)); print('rich' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_without_standard_error_nothing_is_shown_and_standard_output_stays_clean() -> None:
    code = "from boneage.progress import say, track; say('one'); print(list(track('ab', 'x', 2)))"
    closed = f"exec '{sys.executable}' -c \"$1\" 2>&-"
    done = subprocess.run(["sh", "-c", closed, "sh", code], stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout == "['a', 'b']\n"
