"""The service: one process that decides, keeps the ledger and learns, without knowing HTTP."""
