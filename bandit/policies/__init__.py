"""Policies: context and actions to a distribution over actions, a pure function of a state that learning folds."""
