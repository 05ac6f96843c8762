"""What a worker with another clock needs on its path."""
