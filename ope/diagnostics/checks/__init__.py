"""Checks of a log: each says which sums it needs and what they mean; none reads a row but to name it."""
