"""Webhooks that leave the service: how jobs ended, and what rollouts decided."""
