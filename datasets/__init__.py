"""Real data for tests and benchmarks, out of packages that ship it; see `wheels`."""
