"""The refresh gate over 10 million flights against Great Expectations on pandas, pandera and hand-written DuckDB."""
