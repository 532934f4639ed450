"""The evidence behind the tables: ``evidence.json``, the chain of one cell, and making a cell again."""
