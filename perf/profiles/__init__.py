"""Load profiles as files; see `enginehouse.perf.profile`."""
