"""Compares the speed of two versions of a model, measured alternately on one machine."""
