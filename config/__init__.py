"""How the embedded system is started: ports, Airflow's settings, the supervisor and the commands of the Makefile."""
