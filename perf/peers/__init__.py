"""Other servers on the same work: `make bench-peers`, see docs/peers.md."""
