"""The networks themselves, as torch modules: for training, and for running them on a GPU.

Nothing here is imported where there is no torch; the base install runs what was exported.
"""
