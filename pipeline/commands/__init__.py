"""The commands of the ``checkpoint`` program, one module each."""
