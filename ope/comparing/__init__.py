"""Many targets on one log, ranked: how far they are from each other, with the error of all statements together held."""
