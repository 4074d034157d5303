"""Keeping requests and answers: a memcpy per request in the serving process, everything else elsewhere.

A worker writes records into mapped files (``segment``, ``recorder``), which survive its death; a thread of it prepares
and closes them (``keeper``); a process of its own turns closed ones into Parquet (``convert``).
"""
