"""Image Studio: parameters at the left, the canvas in the middle, queue and gallery at the right."""
