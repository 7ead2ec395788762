"""One grammar file for the mask and the offline parser: what it may say, and what that means."""
