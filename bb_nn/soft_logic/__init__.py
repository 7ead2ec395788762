"""Logic networks that can be trained by gradients, and the circuits that they become."""
