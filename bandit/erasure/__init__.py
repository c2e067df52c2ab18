"""Erasing: what was decided for somebody is taken out of the log, and out of what learned it."""
