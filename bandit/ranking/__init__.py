"""Guards of a ranking: who may stand in which slot, decided before anything is sampled."""
