"""What Prometheus is told: families declared once each, rendered when a host changes and joined at the scrape."""
