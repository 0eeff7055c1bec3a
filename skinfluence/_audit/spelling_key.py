"""What is left of a text without case, blanks and punctuation."""

from __future__ import annotations

import re
import unicodedata

_BLANKS = re.compile(r"[\s_]+")
# Between digits, and before or after a word, "-", "." or "/" may be all that tells values apart.
_BETWEEN_LETTERS = re.compile(r"(?<=[^\W\d])[\s_.,;:/'\"-]+(?=[^\W\d])")
_AROUND = re.compile(r"^[\s_;:!?'\"]+|[\s_.,;:!?'\"]+$")  # not the point of ".5"


def spelling_key(text: str) -> str:
    """What is left of a text without case, blanks and punctuation; signs of numbers are kept.

    "A+" and "A-" have different keys, as have "1.5" and "15"; "e-mail" and "E Mail" have the same.
    """
    text = unicodedata.normalize("NFKC", text).casefold()
    text = _AROUND.sub("", _BETWEEN_LETTERS.sub("", text))
    return _BLANKS.sub(" ", text)
