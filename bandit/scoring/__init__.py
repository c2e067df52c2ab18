"""Our policies and model versions as targets of off-policy evaluation: what each would have done in a log's rows."""
