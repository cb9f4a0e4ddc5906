"""The variables of the environment by which the service, the gateway and the monitor are told their secrets."""

SERVICE_KEY = "HONE_SERVICE_KEY"
"""The operator's key: it may do everything."""

SERVICE_DATABASE = "HONE_SERVICE_DATABASE"
"""The address of the records, with its password."""

WEBHOOK_SECRET = "HONE_WEBHOOK_SECRET"  # noqa: S105 - a variable's name
"""What deliveries are signed with that order retrainings, and the monitor's alarms."""

NOTIFY_SECRET = "HONE_NOTIFY_SECRET"  # noqa: S105 - a variable's name
"""What the webhooks of jobs and rollouts are signed with; two, separated by a blank, while one is changed."""
