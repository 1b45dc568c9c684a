"""What the algorithms that learn from images share."""
