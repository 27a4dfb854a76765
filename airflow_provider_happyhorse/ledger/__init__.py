"""What a task instance has submitted: the record of it, where the record is kept, and what a try may do in view of it."""
