"""Predicts what every action of a row would have earned, by models that never saw the row's own reward."""
