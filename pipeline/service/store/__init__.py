"""What the service remembers: keys, files, jobs and what happened to them, in SQLite or any database of SQLAlchemy."""
