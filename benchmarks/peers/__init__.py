"""The queues beside which recovery is measured, each set up for its quickest recovery.

Each module takes `submit N` or `worker SLOTS` and knows the store by BENCH_REDIS_URL.
"""
