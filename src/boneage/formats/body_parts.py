"""Words for body parts that the header of a hand radiograph may hold."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_HANDS: Final = re.compile(
    r"HAND|WRIST|FINGER|THUMB|CARP|PHALAN|FOREARM|RADIUS|ULNA|BONE ?AGE|KNOCHENALTER|DAUMEN|POIGNET|DOIGT|POUCE|BRAS\b"
    r"|DIGIT|MANO|MUNECA|DEDO|POLSO|PUNHO|ARM\b|\bMAINS?\b|\bMAOS?\b|\bANTEBRA"
)
_ANY_LIMB: Final = re.compile(r"EXTREMIT|LIMB\b|LIMBS\b|\bUP EX|\bUPEX|MEMBRE|MIEMBRO|MEMBRO|\bARTO\b")
_OTHER_LIMBS: Final = re.compile(
    r"LOWER (?!ARM)|LOWER(?:LIMB|EXTREM|LEG)|\bLOW ?EX|UNTERE |INFERI|\bLEG|BEIN|FOOT|FEET|\bTOE"
    r"|\bPIED|\bPIES?\b|\bFUSS|ZEH|\bPE\b|UPPER ?ARM|OBERARM|HUMER"
)
_EMPTY_WORDS: Final = frozenset({"UNKNOWN", "UNDEFINED", "NONE", "OTHER", "DEFAULT", "NA", "N A", "UNSPECIFIED"})


def is_hand(body_part: str) -> bool:
    """Whether a word for a body part allows a hand (English, German, French, Spanish, Italian, Portuguese).

    Words for hand, wrist, finger, forearm, arm and upper limb do, and words for a limb without "lower". So do empty
    words ("", "UNKNOWN"). Words of other languages do not.
    """
    plain = unicodedata.normalize("NFKD", body_part.upper()).encode("ascii", "ignore").decode()
    plain = " ".join(re.sub(r"[^A-Z]+", " ", plain).split())
    if plain in _EMPTY_WORDS or not any(sign.isalpha() for sign in body_part):
        return True
    return bool(_HANDS.search(plain) or _ANY_LIMB.search(plain)) and not _OTHER_LIMBS.search(plain)
