"""`python -m gateway.shadow`: the process that runs challengers beside the live answers."""

from gateway.shadow.process import main

main()
