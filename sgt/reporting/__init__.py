"""Reporting: tables, figures and findings from score files, which describe their metrics; no task is known here."""
