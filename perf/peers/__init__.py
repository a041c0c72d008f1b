"""Benchmarks of other servers with the same workload: `make bench-peers`, see docs/peers.md."""
