"""The gate between a candidate and production: risks, test, decisions, registry, rollback."""
