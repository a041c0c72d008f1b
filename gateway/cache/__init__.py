"""Answers to questions that were asked before."""
