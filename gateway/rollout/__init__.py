"""What becomes of a rollout: what is counted of it, what that proves, and what follows.

`layout` says where each thing is counted and `evidence` counts it, a block of requests at a time.
`sequential` has the statistics and `verdict` applies them to the guards of a plan. All of that is
pure. `steering` is the controller's part. Nothing here loads numpy.
"""
