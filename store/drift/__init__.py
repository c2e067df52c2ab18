"""Monitors of what is logged: do the draws agree with their logged probabilities?"""
