"""The machine's memory: segments, slots, images, integrity."""
