"""The tables and curves of the paper's layout, of a study's own values."""
