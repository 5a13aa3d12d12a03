"""Words for body parts in headers: which of them name another part than the hand."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_HANDS: Final = re.compile(
    r"HAND|WRIST|FINGER|THUMB|CARP|PHALAN|FOREARM|RADIUS|ULNA|BONE ?AGE|KNOCHENALTER|DAUMEN|POIGNET|DOIGT|POUCE|BRAS\b"
    r"|DIGIT|MANO|MUNECA|DEDO|POLSO|PUNHO|ARM\b|\bMAINS?\b|\bMAOS?\b|\bANTEBRA"
)
_OTHER_LIMBS: Final = re.compile(
    r"LOWER (?!ARM)|LOWER(?:LIMB|EXTREM|LEG)|\bLOW ?EX|UNTERE |INFERI|\bLEG|BEIN|FOOT|FEET|\bTOE"
    r"|\bPIED|\bPIES?\b|\bFUSS|ZEH|\bPE\b|UPPER ?ARM|OBERARM|HUMER"
)
_OTHER_PARTS: Final = re.compile(
    # trunk
    r"CHEST|THORA|TORAX|TORAC|\bLUNG|\bRIBS?\b|\bSTERN|HEART|BREAST|\bMAMM|\bBORST|KLATKA|HRUDNIK|ABDOM|BAUCH|\bKUB\b"
    r"|PELVI|BECKEN|BASSIN|SACR|COCCY|SPINE\b|WIRBEL|RACHIS|COLUMN|COLONN|COLUNA|LUMB|CERVIC|WHOLE ?BODY|GANZKORPER"
    # head and neck
    r"|\bHEAD|SKULL|SCHADEL|SCHAEDEL|\bKOPF|\bTETE\b|CRANE\b|CRANI|CABEZA|CABECA|\bNECK|\bHALS|\bJAW|MANDIB|MAXILL"
    r"|\bTEETH|\bTOOTH|\bDENT|\bFACE\b|FACIAL|NASAL|\bNOSE|SINUS|ORBIT|\bEYES?\b"
    # shoulder and elbow
    r"|SHOULDER|SCHULTER|SCHOUDER|EPAULE|HOMBRO|SPALLA|OMBRO|CLAVIC|SCAPUL|ELBOW|ELLBOGEN|ELLENBOGEN|\bCOUDE|\bCODO\b"
    r"|GOMITO|COTOVELO"
    # hip to foot
    r"|\bHIPS?\b|HUFT|HUEFT|\bHEUP|HANCHE|CADERA|\bANCA\b|QUADRIL|FEMUR|FEMOR|THIGH|KNEE|\bKNIE|GENOU|RODILLA|GINOCCHI"
    r"|JOELHO|KOLANO|KOLENO|PATELL|TIBIA|FIBULA|ANKLE|SPRUNGGELENK|\bENKEL|CHEVILLE|TOBILLO|CAVIGLIA|TORNOZELO|CALCAN"
    r"|\bHEEL|TARSUS|TARSAL|\bVOET|\bSTOPA\b|\bNOHA\b|\bNOGA\b"
)
"""English and, for common examinations, German, French, Spanish, Italian, Portuguese, Dutch, Polish and Czech."""


def is_other_part(body_part: str) -> bool:
    """Whether a word clearly names another body part than the hand.

    Words for hand, wrist, finger, forearm and arm win over other parts that stand beside them, except lower limbs and
    the upper arm. Unknown words (EXTREMITY, BONE, words of other languages) are not another part: the gate of a model
    judges the image itself.
    """
    plain = unicodedata.normalize("NFKD", body_part.upper()).encode("ascii", "ignore").decode()
    plain = " ".join(re.sub(r"[^A-Z]+", " ", plain).split())
    if _OTHER_LIMBS.search(plain):
        return True
    return bool(_OTHER_PARTS.search(plain)) and not _HANDS.search(plain)
