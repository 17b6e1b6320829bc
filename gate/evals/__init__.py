"""What is asked: tasks, and the client that asks."""
