"""Performance measurements: workloads, load generation and reports."""
