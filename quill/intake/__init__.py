"""The intake: a small Celery worker that admits what any Celery program sends."""
