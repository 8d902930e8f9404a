"""What is true: values and arithmetic. Standard library only; no I/O, no event loop, no Qt."""
