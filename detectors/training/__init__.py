"""How the shipped weights were made; needs the ``train`` extra."""
