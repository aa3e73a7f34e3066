"""Makes spans of messages and sends them by OpenTelemetry."""
