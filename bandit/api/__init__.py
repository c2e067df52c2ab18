"""The REST API: bodies to service calls and back. Knows HTTP, and nothing of policies or storage."""
