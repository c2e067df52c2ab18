"""Decide, learn, serve: policies, exploration, the learner, the service and its front doors."""
