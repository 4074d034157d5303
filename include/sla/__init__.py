"""Watching what is declared to be done by a time: one watcher for every pipeline, beside Airflow and without it."""
