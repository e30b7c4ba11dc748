"""Side by side with other caches: `python -m benchmarks`. docs/performance.md says how to read the results."""
