"""What happens per request, and the controller that works behind it.

Imports `registry`, never the reverse.
"""

from importlib.metadata import version

VERSION = version("governed-gateway")
