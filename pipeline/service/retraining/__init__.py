"""What keeps retrainings in bounds, and rows that wait for one."""
