"""What watches an actor from outside; its files run in a process of their own, as `watchdog.watch`.

They import one another relatively and else only what is cheap (no dataclasses, json, pathlib, re,
typing): every actor pays for one such process.
"""
