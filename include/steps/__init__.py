"""The steps of the loop as plain functions: what a DAG's task calls, and what runs the same without Airflow.

Stages do not know each other; a step is where two of them meet. A step takes and returns contracts, may be killed at
any instant and run again, and leaves its evidence before it raises.
"""
