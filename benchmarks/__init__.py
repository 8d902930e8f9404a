"""Each figure the README quotes, as a ratio against a rival or a limit measured in the same run."""
