"""Domains: what the tools of an API are, when they may be called, and the grammar of their plans.

A domain is a folder with `plan_schema.yaml` and the `grammar.lark` generated from it. Start at
`bb_domains.domain.load_domain`; README.md has the picture.
"""
