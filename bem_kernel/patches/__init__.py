"""Verified patches: the only way in which a machine's experts and slots change."""
