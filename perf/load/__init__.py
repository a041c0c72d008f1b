"""Enginehouse's load generator, for measurements that perf_analyzer, aiperf and guidellm cannot do.

It sends to several targets alternately from one process, to compare versions burst by burst. It
follows the same schedule for all entry points. It needs so little CPU time that it does not distort
measurements on a few cores.
"""
