"""The alert service: hits from checkpoints go in, alerts to subscribers go out.

``CheckpointClient`` is for programs of others; everything else here is the service's own.
"""

from pipeline.alerts.client import CheckpointClient

__all__ = ["CheckpointClient"]
