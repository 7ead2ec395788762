"""Boolean circuits: gate lists, how to build, compose and write them."""
