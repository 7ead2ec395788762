"""Training beside a frozen base rail, its baselines, their evaluation, and the main job (`bb run`)."""
