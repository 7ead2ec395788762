"""Training beside a frozen base rail, its baselines and evaluation, and the main job (`bb run`)."""
