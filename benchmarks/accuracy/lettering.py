"""Chinese characters in plots: a font that has them, or else their names in Latin letters."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

from pipeline.errors import ConfigError
from pipeline.types import PROVINCES, SUFFIXES

# Bold is only ever Latin; that a Chinese font has no bold face is nothing to be told.
logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)

_PREFERRED = (
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "Source Han Sans CN",
    "PingFang SC",
    "Microsoft YaHei",
    "Hiragino Sans GB",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "Heiti SC",
    "SimHei",
)
_LIKELY = ("CJK", "Han", "Hei", "Song", "Sung", "Kai", "Ming", "SimSun", "Fallback", "Unicode")
_NAMES = (  # one for each character of PROVINCES, in its order
    *("Beijing", "Tianjin", "Hebei", "Shanxi", "Neimenggu", "Liaoning", "Jilin", "Heilongjiang"),
    *("Shanghai", "Jiangsu", "Zhejiang", "Anhui", "Fujian", "Jiangxi", "Shandong", "Henan"),
    *("Hubei", "Hunan", "Guangdong", "Guangxi", "Hainan", "Chongqing", "Sichuan", "Guizhou"),
    *("Yunnan", "Xizang", "Shaanxi", "Gansu", "Qinghai", "Ningxia", "Xinjiang"),
)
_SUFFIX_NAMES = ("shi", "ling", "jing", "xue", "gua", "Gang", "Ao", "ying", "ji")
_LATIN = dict(zip(PROVINCES + SUFFIXES, _NAMES + _SUFFIX_NAMES, strict=True))
LATIN_FONT = "DejaVu Sans"
"""Comes with matplotlib."""
_FIRST_CJK = 0x2E80


@dataclass(frozen=True, slots=True)
class Lettering:
    """How text with Chinese characters is drawn; ``chinese`` is a font's name, None of none."""

    chinese: str | None

    @property
    def families(self) -> list[str]:
        """Font families, for matplotlib: each character comes from the first that has it."""
        return [LATIN_FONT, *([self.chinese] if self.chinese else [])]

    def spell(self, text: str) -> list[str]:
        """For each character what is drawn for it; joined, ``皖A12345`` or ``Anhui-A12345``."""
        if self.chinese:
            return list(text)
        spelled: list[str] = []
        for character, after in zip(text, [*text[1:], " "], strict=True):
            named = character in _LATIN or after in _LATIN
            joint = "-" if named and not character.isspace() and not after.isspace() else ""
            drawable = character if ord(character) < _FIRST_CJK else "?"
            spelled.append(_LATIN.get(character, drawable) + joint)
        return spelled

    def text(self, text: str) -> str:
        """The whole of ``text`` as it can be drawn."""
        return "".join(self.spell(text))


def find(font: Path | None = None) -> Lettering:
    """The lettering of this machine, or with the font file that is given.

    Raises:
        ConfigError: the file is no font, or lacks characters that plates have.
    """
    if font is not None:
        try:
            font_manager.fontManager.addfont(str(font))
            name = font_manager.FontProperties(fname=str(font)).get_name()
        except (OSError, RuntimeError) as error:
            raise ConfigError(f"--font {font}: cannot be used as a font: {error}") from None
        if not _covers(font):
            raise ConfigError(f"--font {font}: lacks Chinese characters; name one that has them")
        return Lettering(name)
    entries = {entry.name: entry.fname for entry in font_manager.fontManager.ttflist}
    likely = [name for name in sorted(entries) if any(part in name for part in _LIKELY)]
    for name in (*_PREFERRED, *likely):
        if name in entries and _covers(Path(entries[name])):
            return Lettering(name)
    return Lettering(None)


def _covers(font: Path) -> bool:
    try:
        face = FT2Font(str(font))
    except (OSError, RuntimeError):
        return False
    return all(face.get_char_index(ord(character)) for character in PROVINCES + SUFFIXES)
