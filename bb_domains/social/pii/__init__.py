"""Personal data in short texts: where it stands, and the text without it. No model, no network."""
