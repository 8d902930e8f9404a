"""What we do: use cases; the only owners of mutable state. No Qt."""
