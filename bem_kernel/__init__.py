"""The Boolean Expert Machine: circuits over bit planes, experts, programs, the ledger.

Integers and bit operations only; no torch. Import what you need from its file, for example
``from bem_kernel.circuits.circuit import Circuit``.
"""
