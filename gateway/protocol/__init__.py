"""The Open Inference Protocol, version 2: requests and answers as bytes and as numpy arrays.

Knows no HTTP framework and no runtime. What a caller did wrong is a value, a `Refusal`; nothing in
this package raises for any body.
"""
