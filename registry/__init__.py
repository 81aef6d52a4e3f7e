"""What must be remembered and proved: models, versions, aliases, keys and the audit records.

A library with a command line. It knows nothing of HTTP and never imports `gateway`.
"""
