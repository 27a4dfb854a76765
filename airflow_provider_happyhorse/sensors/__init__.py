"""The sensor for a generation made elsewhere."""
