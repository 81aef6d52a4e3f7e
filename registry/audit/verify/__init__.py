"""The checker: says whether a log is what its checkpoints claim, written apart from the writer.

It reads bytes and formats alone: RFC 6962 and RFC 9162 (hashes and proofs), C2SP signed-note,
tlog-checkpoint, tlog-cosignature, tlog-proof and tlog-tiles. Nothing of `registry` is imported
here, so that a fault of the writer cannot excuse itself; what both do is done twice, differently.

`log` checks a whole log from one of the `sources`, `receipts` one record alone; both stand on
`checkpoints`, `notes`, `proofs` and `leaves`. What is asked of them and does not hold is a `Fault`.
"""
