"""What we have: files and records on disk, and where they come from. No Qt."""
