"""What the controller does with what workers counted: it adds up, looks, and acts.

`taking` brings the counts of all workers into windows. `judging` looks at what came of each
champion, `acting` holds what a finding does to the model. Nothing here loads numpy.
"""
