"""Recognition in tensors: pictures stay on a GPU, and only what was found and read comes back.

The same code runs on CPU tensors, where it is slower than OpenVINO; tests run it so. Needs the
``gpu`` extra, all but :mod:`detectors.device.choice`, which says whether it is there.
"""
