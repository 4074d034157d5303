"""The work of Tollgate: typed Python that has never heard of Airflow."""
