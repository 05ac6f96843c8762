"""Processes that are watched: restarted with backoff when they die, stopped in order when they shall end."""
