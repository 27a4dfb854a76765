"""What the two services say and how: values in, values out.

Nothing here imports Airflow, requests or aiohttp, reads a clock, sleeps, or opens a file or socket; a test keeps it so.
"""
