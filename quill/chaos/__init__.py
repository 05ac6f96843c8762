"""Chaos: a seeded workload against a whole deployment that seeded faults break, and an auditor who counts."""
