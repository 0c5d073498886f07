"""What runs a network: OpenVINO for the shipped weights, others for models of one's own.

ultralytics runs detectors, PaddleOCR readers; each needs its extra.
"""
