"""The records that flow, in the order in which they come to be.

`cell`, `fingerprint`, `sample`, `evidence`, `probe`, `record` (of one measurement); `baseline`, `calibration`
(what it is compared with); `changes`, `result` (what is decided and reported). `fields` and `canonical` are
what these are made of.

Everything that is written to a file or crosses a process is a frozen pydantic model here; what is only
passed between functions is a NamedTuple.
"""
