"""`/v1/fine_tuning/jobs`: a job is a run description that is handed to a runner."""
