"""The `bem` command, a file per group of commands."""
