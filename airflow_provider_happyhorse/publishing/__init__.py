"""Copying a generation's results into the user's own storage."""
