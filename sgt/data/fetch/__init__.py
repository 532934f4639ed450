"""Fetching published datasets and models at a fixed revision, verified by hash."""

# FETCHED is written last, once every file is there. LOCK records what was fetched first; later fetches must match it.
FETCHED, LOCK = "fetched.json", "lock.json"
# Parts of files that are still being fetched, and the file lock that keeps two fetches apart.
PARTS = ".fetch"
