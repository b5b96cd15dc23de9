"""Triton kernels for CUDA, each beside the plain PyTorch that says what it computes.

Importing a module of this package imports Triton. A kernel allocates nothing but its result and the scratch
named in its docstring, waits for nothing, and reads every number that may change between steps from the
device, so it can be part of a CUDA graph. Arithmetic is float32 whatever the arrays hold; matrix products
take their factors as they are stored and add up in float32.
"""
