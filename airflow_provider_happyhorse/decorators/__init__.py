"""``@task.happyhorse_video``."""
