"""Measuring: workloads, load, reports."""
