"""What a file is, proven from its bytes."""
