"""Settings of a cluster: what a node takes, and when it counts as lost."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipeline.config.base import Settings


class ClusterSettings(Settings):
    """How cameras are spread over the nodes of a Ray cluster: ``checkpoint run --cluster``.

    ``cpus``, ``gpus`` and ``resources`` are what a pipeline takes of its node in Ray's books; a
    node that lacks them gets none. ``gpus`` None: 1 where the node has one. A node carries cameras
    by its capacity: its CPUs, and ``gpu_weight`` for each GPU that its pipeline takes.

    A node that has not answered for ``silent_after_s`` loses its cameras to the others.
    ``cut_off`` says what it does meanwhile where it still runs: ``go_on`` recognises every vehicle,
    and may tell some twice; ``stop`` tells none twice, and none at all while the process that
    leads the cluster is away.

    A camera moves when no vehicle is in view, and after ``handover_wait_s`` all the same.
    """

    cpus: float = Field(default=1.0, ge=0)
    gpus: float | None = Field(default=None, ge=0, description="None: 1 where the node has one")
    resources: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    gpu_weight: float = Field(
        default=32.0, gt=0, description="a GPU carries as much as so many CPUs"
    )
    silent_after_s: float = Field(default=6.0, ge=1, le=600)
    cut_off: Literal["go_on", "stop"] = "go_on"
    handover_wait_s: float = Field(default=20.0, ge=0, le=600)
    moves_at_once: int = Field(default=4, ge=1, description="cameras that move at a time")
    start_timeout_s: float = Field(default=90.0, gt=0, description="for a node's pipeline")
    tolerance: float = Field(
        default=0.15, ge=0, le=1, description="an uneven load within it moves no camera"
    )
    target: str | None = Field(
        default=None,
        pattern=r"^.+:\d{1,5}$",
        description="where nodes reach the alert service; None: alerts.target, or alerts.listen",
    )
