"""The reward ledger: joins rewards to decisions and appends outcomes. Pure rules over a `Transaction`."""
