"""Fetching what is published, at its revision, verified."""

# Written last, when all files are there; and what was fetched the first time, which must be the same ever after.
FETCHED, LOCK = "fetched.json", "lock.json"
