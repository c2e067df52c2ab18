"""Faults on purpose: callers that note what they are told, kills, power cuts, and the audit that compares."""
