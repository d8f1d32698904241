"""The operator's command: asks a collector, or judges one machine without any."""
