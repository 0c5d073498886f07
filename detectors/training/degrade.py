"""What cameras, weather and weeks on the road do to a plate.

``degrade`` works on a small camera picture in which the plate already has its final size in
pixels, so that blur, noise and JPEG blocks have the sizes they have in practice.
"""

# OpenCV's stubs widen every dtype, and torch is untyped for the check.
# mypy: disable-error-code="arg-type,assignment,call-overload,misc,no-any-return,operator"
# mypy: disable-error-code="return-value,untyped-decorator,var-annotated"

from __future__ import annotations

from fractions import Fraction

import av
import cv2
import numpy as np

from detectors.training.arrays import f32
from pipeline.types import ImageBgr


def wear(plate: ImageBgr, rng: np.random.Generator) -> ImageBgr:
    """Dirt, scratches and a frame's edge on a clean plate picture (H, W, 3) uint8."""
    image = plate.astype(np.float32)
    height, width = image.shape[:2]
    if rng.random() < 0.25:  # blotches of dust or mud
        coarse = rng.random((4, 10), dtype=np.float32)
        field = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        amount = np.clip((field - rng.uniform(0.45, 0.8)) * 2.5, 0, rng.uniform(0.3, 0.85))
        mud = f32(rng.uniform(40, 150, 3))
        image += (mud - image) * amount[..., None]
    if rng.random() < 0.2:  # a frame that covers a strip along an edge
        shade = float(rng.uniform(20, 230))
        strip = round(height * rng.uniform(0.02, 0.09))
        if rng.random() < 0.6:
            image[height - strip :] = shade
        if rng.random() < 0.6:
            image[:strip] = shade
        if rng.random() < 0.3:
            side = round(width * rng.uniform(0.01, 0.025))
            image[:, :side] = shade
            image[:, width - side :] = shade
    for _ in range(int(rng.integers(0, 4)) if rng.random() < 0.2 else 0):  # scratches, chips
        start = rng.uniform(0, [width, height])
        end = start + rng.normal(0, 0.15 * width, 2)
        colour = (float(rng.uniform(30, 220)),) * 3
        points = [tuple(np.int32(p).tolist()) for p in (start, end)]
        cv2.line(image, points[0], points[1], colour, int(rng.integers(1, 4)), cv2.LINE_AA)
    return np.clip(image, 0, 255).astype(np.uint8)


def light(image: ImageBgr, rng: np.random.Generator) -> ImageBgr:
    """Exposure, tint, shadows, headlight glare, infrared: (H, W, 3) uint8."""
    height, width = image.shape[:2]
    out = image.astype(np.float32)
    if rng.random() < 0.1:  # infrared or monochrome camera
        weights = rng.dirichlet([2, 3, 2]).astype(np.float32)
        out = np.repeat((out @ weights)[..., None], 3, axis=2)
    if rng.random() < 0.3:  # a gradient or a shadow's edge
        angle, bend = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 8)
        y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
        along = x * np.cos(angle) + y * np.sin(angle) + rng.uniform(-0.6, 0.6)
        out *= (1 - rng.uniform(0.1, 0.65) / (1 + np.exp(-along * bend)))[..., None]
    gain, gamma = np.exp(rng.normal(0, 0.25)), np.exp(rng.normal(0, 0.3))
    draw = rng.random()
    if draw < 0.15:  # night
        gain *= rng.uniform(0.2, 0.6)
    elif draw < 0.25:  # over-exposed
        gain *= rng.uniform(1.2, 1.9)
    out = 255 * (np.clip(out, 0, 255) / 255) ** gamma * gain
    out *= np.exp(rng.normal(0, 0.1, 3)).astype(np.float32)
    if rng.random() < 0.3:  # low contrast: haze, stray light
        haze = rng.uniform(30, 220)
        out += (haze - out) * rng.uniform(0.1, 0.6)
    out += rng.normal(0, 10)
    if rng.random() < 0.12:  # blooming: what is over-exposed flows over its edges
        reach = rng.uniform(0.01, 0.04) * height
        flood = cv2.GaussianBlur(np.clip(out - rng.uniform(120, 200), 0, None), (0, 0), reach)
        out += flood * rng.uniform(1.0, 4.0)
    if rng.random() < 0.08:  # a lamp's glare
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        yy, xx = np.mgrid[0:height, 0:width].astype(np.float32)
        reach = rng.uniform(0.1, 0.4) * height
        spot = np.exp(-((xx - x) ** 2 + (yy - y) ** 2) / (2 * reach**2))
        out += (spot * rng.uniform(60, 220))[..., None]
    return np.clip(out, 0, 255).astype(np.uint8)


def optics(image: ImageBgr, rng: np.random.Generator, plate_width: float) -> ImageBgr:
    """Rain, defocus, motion, noise, sharpening, JPEG or H.264, in this order.

    Blur grows with the plate's size in pixels.
    """
    scale = plate_width / 100
    if rng.random() < 0.08:
        image = rain(image, rng, scale)
    draw = rng.random()
    if draw < 0.3:
        image = cv2.GaussianBlur(image, (0, 0), max(0.3, rng.uniform(0.3, 1.5) * scale))
    elif draw < 0.5:
        image = motion_blur(image, rng, max(2, round(rng.uniform(2, 7) * scale)))
    if rng.random() < 0.4:
        noise = np.empty(image.shape, np.int8)
        cv2.randn(noise, 0, float(rng.uniform(2, 16)))
        if rng.random() < 0.4:  # coarser grain, as after a denoiser
            noise = cv2.blur(noise.astype(np.float32), (2, 2)).round().astype(np.int8)
        image = cv2.add(image, noise, dtype=cv2.CV_8U)
    if rng.random() < 0.15:  # in-camera sharpening
        soft = cv2.GaussianBlur(image, (0, 0), 1.0)
        amount = rng.uniform(0.5, 2.0)
        image = cv2.addWeighted(image, 1 + amount, soft, -amount, 0)
    draw = rng.random()
    if draw < 0.35:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(20, 90))]
        image = cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], cv2.IMREAD_COLOR)
    elif draw < 0.47:
        image = video(image, rng)
    return image


def rain(image: ImageBgr, rng: np.random.Generator, scale: float) -> ImageBgr:
    """Streaks in the air, and drops on the glass that blur what is behind them."""
    height, width = image.shape[:2]
    streaks = np.zeros((height, width), np.float32)
    drops = max(1, round(height * width * rng.uniform(0.0005, 0.003)))
    streaks[rng.integers(0, height, drops), rng.integers(0, width, drops)] = rng.uniform(300, 900)
    length = max(3, round(rng.uniform(6, 24) * scale))
    kernel = np.zeros((length, length), np.float32)
    lean = round(rng.normal(0, 0.15) * length)
    cv2.line(kernel, (length // 2 - lean, 0), (length // 2 + lean, length - 1), 1.0)
    streaks = cv2.filter2D(streaks, -1, kernel / max(float(kernel.sum()), 1.0))
    out = image + (rng.uniform(170, 255) - image) * np.clip(streaks / 255, 0, 0.7)[..., None]
    if rng.random() < 0.5:
        glass = np.zeros((height, width), np.float32)
        for _ in range(int(rng.integers(1, 6))):
            centre = (int(rng.integers(width)), int(rng.integers(height)))
            radius = max(1, round(rng.uniform(2, 9) * scale))
            cv2.circle(glass, centre, radius, float(rng.uniform(0.4, 1.0)), -1)
        glass = cv2.GaussianBlur(glass, (0, 0), max(0.6, scale))[..., None]
        soft = cv2.GaussianBlur(out, (0, 0), max(1.0, 3.0 * scale))
        out += (soft * rng.uniform(0.9, 1.15) - out) * glass
    return np.clip(out, 0, 255).astype(np.uint8)


def video(image: ImageBgr, rng: np.random.Generator) -> ImageBgr:
    """The picture as the second frame of an H.264 stream of a low bit rate, the first a bit off."""
    height, width = image.shape[:2]
    size = (width + width % 2, height + height % 2)
    frame = cv2.copyMakeBorder(image, 0, size[1] - height, 0, size[0] - width, cv2.BORDER_REPLICATE)
    shift = f32([[1, 0, rng.normal(0, 3)], [0, 1, rng.normal(0, 3)]])
    before = cv2.warpAffine(frame, shift, size, borderMode=cv2.BORDER_REPLICATE)
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = *size, "yuv420p"
    encoder.time_base, encoder.thread_count = Fraction(1, 25), 1
    crf = str(int(rng.integers(26, 42)))
    encoder.options = {"preset": "superfast", "tune": "zerolatency", "crf": crf}
    decoder = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    packets = []
    for number, picture in enumerate((before, frame)):
        moment = av.VideoFrame.from_ndarray(picture, format="bgr24")
        moment.pts = number
        packets += encoder.encode(moment)
    packets += encoder.encode(None)
    frames = [seen for packet in packets for seen in decoder.decode(packet)]
    frames += decoder.decode(None)
    return np.ascontiguousarray(frames[-1].to_ndarray(format="bgr24")[:height, :width])


def motion_blur(image: ImageBgr, rng: np.random.Generator, length: int) -> ImageBgr:
    """Blur of ``length`` pixels along a random direction, mostly the direction of travel."""
    angle = rng.uniform(0, np.pi) if rng.random() < 0.4 else np.pi / 2 + rng.normal(0, 0.3)
    kernel = np.zeros((length, length), np.float32)
    centre = (length - 1) / 2
    step = np.array([np.cos(angle), np.sin(angle)]) * centre
    first, last = np.round(centre - step).astype(int), np.round(centre + step).astype(int)
    cv2.line(kernel, tuple(first.tolist()), tuple(last.tolist()), 1.0)
    return cv2.filter2D(image, -1, kernel / max(float(kernel.sum()), 1.0))


def degrade(image: ImageBgr, rng: np.random.Generator, plate_width: float) -> ImageBgr:
    """Light, then optics; ``plate_width`` in pixels of this picture."""
    return optics(light(image, rng), rng, plate_width)
