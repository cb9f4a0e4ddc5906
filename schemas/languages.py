"""Languages that a description may declare, by ISO 639 code, and the scripts that they are written in.

Scripts are those of the Unicode Script property (UAX #24). After CLDR's language data; only living majority scripts.
"""

from __future__ import annotations

from typing import Literal

LanguageCode = Literal[
    "af", "am", "ar", "az", "be", "bg", "bn", "bs", "ca", "cs", "cy", "da", "de", "el", "en", "es", "et", "eu", "fa",
    "fi", "fr", "ga", "gl", "gu", "ha", "he", "hi", "hr", "ht", "hu", "hy", "id", "ig", "is", "it", "ja", "ka", "kk",
    "km", "kn", "ko", "ky", "lo", "lt", "lv", "mk", "ml", "mn", "mr", "ms", "mt", "my", "ne", "nl", "no", "pa", "pl",
    "ps", "pt", "qu", "ro", "ru", "si", "sk", "sl", "so", "sq", "sr", "sv", "sw", "ta", "te", "tg", "th", "tl", "tr",
    "uk", "ur", "uz", "vi", "xh", "yo", "zh", "zu",
]  # fmt: skip

_OTHER_SCRIPTS: dict[str, tuple[LanguageCode, ...]] = {
    "Arabic": ("ar", "fa", "ps", "ur"),
    "Armenian": ("hy",),
    "Bengali": ("bn",),
    "Cyrillic": ("az", "be", "bg", "kk", "ky", "mk", "mn", "ru", "sr", "tg", "uk", "uz"),
    "Devanagari": ("hi", "mr", "ne"),
    "Ethiopic": ("am",),
    "Georgian": ("ka",),
    "Greek": ("el",),
    "Gujarati": ("gu",),
    "Gurmukhi": ("pa",),
    "Han": ("ja", "ko", "zh"),
    "Hangul": ("ko",),
    "Hebrew": ("he",),
    "Hiragana": ("ja",),
    "Kannada": ("kn",),
    "Katakana": ("ja",),
    "Khmer": ("km",),
    "Lao": ("lo",),
    "Malayalam": ("ml",),
    "Myanmar": ("my",),
    "Sinhala": ("si",),
    "Tamil": ("ta",),
    "Telugu": ("te",),
    "Thai": ("th",),
}

_LATIN_TOO: tuple[LanguageCode, ...] = ("kk", "mn", "sr", "uz", "az")
"""Written in Latin letters as well as in another script."""


SCRIPTS: tuple[str, ...] = ("Latin", *_OTHER_SCRIPTS)
"""Every script that is told from the others."""


def scripts_of(language: LanguageCode) -> tuple[str, ...]:
    """Return the scripts that a language is written in; Latin where no other is known for it."""
    other = tuple(script for script, languages in _OTHER_SCRIPTS.items() if language in languages)
    return (*other, "Latin") if not other or language in _LATIN_TOO else other
