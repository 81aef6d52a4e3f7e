"""What the controller does with what workers counted: it adds up, looks, and acts.

`taking` brings the counts of all workers into windows. `judging` looks at what came of each
champion, `telling` says what was found, `acting` holds what answers in a champion's place, and
`watch` when each of it is done. Nothing here loads numpy.
"""
