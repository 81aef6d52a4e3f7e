"""What happens per request, and the controller that works behind it.

Imports `registry`, never the reverse.
"""

VERSION = "0.1.0"
