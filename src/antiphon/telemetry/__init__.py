"""What the server tells its operator: logs and metrics, neither with a spoken word in it."""
