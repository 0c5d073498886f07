"""Recognition: pictures in, plates with their reads and vehicles out."""
