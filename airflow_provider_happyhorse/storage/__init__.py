"""Writing whole objects into the user's storage."""
