"""Apache Airflow provider for HappyHorse AI video generation. Importing this package imports nothing else."""

__version__ = "0.1.0"
