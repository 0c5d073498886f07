"""Clocks and names as cameras write them into their pictures: hard negatives for both networks."""

# OpenCV's stubs widen every dtype, and torch is untyped for the check.
# mypy: disable-error-code="arg-type,assignment,call-overload,misc,no-any-return,operator"
# mypy: disable-error-code="return-value,untyped-decorator,var-annotated"

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from detectors.decode import is_legal
from detectors.training.arrays import f32
from detectors.training.scene_effects import is_free
from pipeline.types import PROVINCES, ImageBgr

CLOCKS = (
    "%Y-%m-%d %H:%M:%S",
    "%Y/%m/%d %H:%M:%S",
    "%Y-%m-%d",
    "%H:%M:%S",
    "%d-%m-%Y %H:%M:%S",
    "%m-%d-%Y %a %H:%M:%S",
    "%Y%m%d%H%M%S",
    "%H:%M:%S.%f",
)
CHINESE_CLOCKS = ("%Y年%m月%d日 %H:%M:%S", "%Y年%m月%d日", "%Y-%m-%d 星期%w %H:%M:%S")
WORDS = ("CAM", "Camera", "CH", "LANE", "IPC", "IN", "OUT", "km/h", "D", "NVR", "REC", "HD")
CHINESE_WORDS = (
    *("入口", "出口", "车道", "收费站", "检查站", "高速", "国道", "省道", "卡口", "东", "南"),
    *("西", "北", "路", "桥", "号", "抓拍", "速度", "限速", "违法", "地点", "时间", "大桥"),
    *("小型车", "大型车", "公里", "监控", "测速", "方向", "进城", "出城", "一", "二", "三"),
)

FACES = (
    cv2.FONT_HERSHEY_PLAIN,
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
)


def words(rng: np.random.Generator, chinese: bool) -> str:
    """What one line of a caption says; never a plate's text."""
    if rng.random() < 0.6:
        moment = datetime(2005, 1, 1) + timedelta(seconds=float(rng.uniform(0, 8e8)))
        forms = CLOCKS + CHINESE_CLOCKS if chinese else CLOCKS
        return moment.strftime(str(rng.choice(forms)))
    pool = CHINESE_WORDS + tuple(PROVINCES) if chinese and rng.random() < 0.7 else WORDS
    while True:
        parts = [str(rng.choice(pool)) for _ in range(int(rng.integers(1, 5)))]
        number = str(rng.integers(1, 10 ** int(rng.integers(1, 6)))).zfill(int(rng.integers(1, 4)))
        parts.insert(int(rng.integers(0, len(parts) + 1)), number)
        if not is_legal("".join(parts)):
            return ("" if rng.random() < 0.6 else " ").join(parts)


def caption(rng: np.random.Generator, height: int, font: Path | None) -> np.ndarray:
    """One line of ``height`` pixels as BGR and opacity, (height, W, 4) uint8."""
    drawn = font is not None and rng.random() < 0.6
    text = words(rng, chinese=drawn)
    ink = (255, 255, 255) if rng.random() < 0.6 else tuple(int(v) for v in rng.integers(0, 256, 3))
    outline = tuple(255 - v for v in ink) if rng.random() < 0.5 else None
    if drawn:
        kind = _loaded(font, round(height * 0.72))
        stroke = max(1, height // 20) if outline else 0
        width = round(kind.getlength(text)) + 2 * stroke + height // 4
        canvas = Image.new("RGBA", (width, height), (*ink, 0))
        place = (stroke + height // 8, -height // 10)
        ImageDraw.Draw(canvas).text(
            place, text, (*ink, 255), kind, stroke_width=stroke, stroke_fill=outline
        )
        tile = np.array(canvas)
    else:
        face = FACES[int(rng.integers(len(FACES)))]
        thick = max(1, round(height / rng.uniform(10, 24)))
        scale = cv2.getFontScaleFromHeight(face, round(height * 0.6), thick)
        (width, _), _ = cv2.getTextSize(text, face, scale, thick)
        tile = np.zeros((height, width + height // 4, 4), np.uint8)
        tile[..., :3] = ink
        for colour, grown in ((outline, 2), (ink, 0)):
            if colour is not None:
                place = (height // 8, round(height * 0.8))
                full = (*colour, 255)
                cv2.putText(tile, text, place, face, scale, full, thick + grown, cv2.LINE_AA)
    if rng.random() < 0.2:  # on a bar, as some cameras print it
        shown = tile[..., 3:].astype(np.float32) / 255
        bar = f32(rng.integers(0, 256, 3) if rng.random() < 0.3 else (0, 0, 0))
        tile[..., :3] = (bar + (tile[..., :3] - bar) * shown).astype(np.uint8)
        tile[..., 3] = np.maximum(tile[..., 3], int(rng.integers(120, 256)))
    return tile


@lru_cache(maxsize=64)
def _loaded(font: Path, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(font), size)


def put(image: ImageBgr, tile: np.ndarray, x: int, y: int) -> None:
    """Lay a caption on a picture, in place; what reaches over the edge is cut off."""
    height, width = image.shape[:2]
    tile = tile[: max(0, height - y), : max(0, width - x)].astype(np.float32)
    region = image[y : y + tile.shape[0], x : x + tile.shape[1]]
    region[:] = (region + (tile[..., :3] - region) * (tile[..., 3:] / 255)).astype(np.uint8)


def write_captions(
    image: ImageBgr, plates: list[np.ndarray], rng: np.random.Generator, font: Path | None
) -> None:
    """One to three captions anywhere in a picture, in place, but over no plate."""
    side_y, side_x = image.shape[:2]
    height = int(np.exp(rng.uniform(np.log(9), np.log(48))))
    for _ in range(int(rng.integers(1, 4))):
        tile = caption(rng, height, font)
        x = int(rng.integers(0, max(1, side_x - tile.shape[1] // 2)))
        y = int(rng.integers(0, max(1, side_y - height)))
        low, high = f32([x, y]), f32([x + tile.shape[1], y + height])
        if is_free(np.stack([low, high]), plates):
            put(image, tile, x, y)


def caption_patch(
    surface: ImageBgr, rng: np.random.Generator, font: Path | None
) -> tuple[ImageBgr, np.ndarray]:
    """A caption with its surroundings, and the corners of a part that a detector might cut out."""
    tile = caption(rng, int(rng.integers(24, 60)), font)
    height, width = tile.shape[:2]
    canvas = cv2.resize(surface, (width + height, 2 * height), interpolation=cv2.INTER_LINEAR)
    put(canvas, tile, height // 2, height // 2)
    part = min(width, height * rng.uniform(2.4, 4.5))
    left = height / 2 + rng.uniform(0, width - part)
    top, bottom = height * 0.5, height * 1.5
    return canvas, f32([[left, top], [left + part, top], [left + part, bottom], [left, bottom]])
