"""From an Airflow connection to a service and a transport."""
