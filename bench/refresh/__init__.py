"""One refresh from the rename of its file to the endpoint's answer, through Airflow and in plain Python."""
