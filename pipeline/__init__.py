"""What is done: stages, the instruments they share, and the one driver. It never knows where it runs."""
