"""Our own load generator.

Only for what perf_analyzer, aiperf and guidellm cannot do: it asks several targets in turn within
one process, so that versions are compared burst by burst; it follows one schedule over all doors;
and it costs so little that on a few cores it does not measure itself.
"""
