"""How backfills stand, and how that is shown."""
