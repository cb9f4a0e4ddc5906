"""Models: their names, what is said to them, and the engines that answer."""
