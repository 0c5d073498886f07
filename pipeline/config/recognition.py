"""Settings of cameras, recognition and passages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from pipeline.config.base import Settings
from pipeline.types import Direction

MAX_SAMPLE_FPS = 60
"""Frames that can be sampled from a camera in a second, at most."""

Point = Annotated[tuple[float, float], Field(description="x, y as fractions of the picture")]


class LaneSettings(Settings):
    """One lane of a camera, as a polygon in fractions of the picture's width and height."""

    name: str = Field(min_length=1)
    polygon: tuple[Point, ...] = Field(min_length=3)
    direction: Direction | None = None


class SavingSettings(Settings):
    """Where compute is saved, for cameras that are played live; each switch stands alone.

    ``motion_gate``: of a scene in which nothing moves, one frame a second is looked at.
    ``light_decoding``: while a lane is empty, frames that no other refers to are not decoded.
    ``key_frames``: while a lane is empty, key frames alone are decoded, where a stream has one at
    least every 2.5 s. A vehicle that is in view at none of them is not seen: off unless asked for.
    ``skip_deblocking``: decoding leaves out the filter that smooths the edges of blocks (H.264,
    H.265); pictures, those of the evidence too, are a little coarser up to the next key frame: off
    unless asked for.
    ``scale_planes``: the detector's small picture is made from the decoder's planes, not from the
    full BGR picture.
    ``skip_settled``: a vehicle's plate is not read again once its reading is beyond doubt.
    ``ease_known``: while that holds for every vehicle in view, frames are looked at 2.5 times a
    second; a new vehicle is noticed up to 0.4 s later. It needs ``skip_settled``.
    """

    motion_gate: bool = True
    light_decoding: bool = True
    key_frames: bool = False
    skip_deblocking: bool = False
    scale_planes: bool = True
    skip_settled: bool = True
    ease_known: bool = True


class CameraSettings(Settings):
    """One camera: an RTSP URL, a video file or a folder of pictures."""

    name: str = Field(min_length=1, pattern=r"^[^\s/]+$")
    source: str = Field(min_length=1, repr=False)
    sample_fps: float = Field(default=5.0, gt=0, le=MAX_SAMPLE_FPS)
    lanes: tuple[LaneSettings, ...] = ()
    direction: Direction | None = None
    connect_timeout_s: float = Field(default=5.0, gt=0)
    stall_timeout_s: float = Field(default=4.0, gt=0)
    frozen_timeout_s: float = Field(default=20.0, gt=0)
    backoff_initial_s: float = Field(default=0.5, gt=0)
    backoff_max_s: float = Field(default=3.0, gt=0)
    weight: float = Field(default=1.0, gt=0, description="share of a node that it takes")
    savings: SavingSettings | None = Field(default=None, description="None: recognition.savings")


class RecognitionSettings(Settings):
    """How frames are batched and recognised."""

    device: str = Field(
        default="auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?)$",
        description="auto, cpu, cuda or cuda:N; auto: a GPU where one can be used",
    )
    threads: int = Field(default=0, ge=0, description="0: as many as there are cores")
    batch_size: int | None = Field(
        default=None,
        ge=1,
        le=256,
        description="None: what suits the device: two for each thread of a CPU, 128 on a GPU",
    )
    batch_deadline_s: float = Field(
        default=0.01, ge=0, description="how long a frame waits for others to be recognised with"
    )
    mailbox_frames: int | None = Field(
        default=None,
        ge=1,
        description="so many frames of a camera may wait; None: a fifth of a second's, one at 5 a "
        "second",
    )
    staleness_s: float = Field(default=2.0, gt=0)
    savings: SavingSettings = SavingSettings()
    weights_dir: Path | None = Field(default=None, description="None: the shipped weights")
    scene_weights: Path | None = Field(default=None, description="a .pt of ultralytics' to detect")
    reader: Literal["openvino", "paddleocr"] = Field(default="openvino", description="runs reading")
    reader_model: Path | None = Field(
        default=None, description="a PP-OCR model folder for paddleocr; None: the shipped reader"
    )

    @field_validator("reader_model")
    @classmethod
    def _is_for_paddleocr(cls, folder: Path | None, info: ValidationInfo) -> Path | None:
        if folder is not None and info.data.get("reader") == "openvino":
            raise ValueError('only reader = "paddleocr" takes a model; the shipped one needs none')
        return folder

    @model_validator(mode="after")
    def _one_reader(self) -> RecognitionSettings:
        if self.reader == "paddleocr" and self.device.startswith("cuda"):
            raise ValueError(
                'reader = "paddleocr" runs on the CPU: leave it out, or set device = "cpu"'
            )
        return self


class PassageSettings(Settings):
    """When a passage is settled, closed and taken up again.

    A reading is settled when ``settled_reads`` reads agree on it and the vote gives it
    ``settled_probability``; under ``readable_probability`` a passage's plate counts as unread.
    A vehicle whose reading is not that sure is a passage after ``unread_sightings`` frames. One
    unseen for ``close_after_s`` has left; the same plate back within ``reopen_within_s`` is the
    same passage.
    """

    settled_probability: float = Field(default=0.9, gt=0, le=1)
    settled_reads: int = Field(default=2, ge=1)
    readable_probability: float = Field(default=0.5, gt=0, le=1)
    unread_sightings: int = Field(default=3, ge=1)
    close_after_s: float = Field(default=1.2, gt=0)
    reopen_within_s: float = Field(default=8.0, ge=0)
