"""Parts of tests/bench/run."""
