"""Decode under masks, check plans, execute them, serve them.

`check` and `execute` need no torch; the masks, decoding and the server do, so nothing is imported
here.
"""
