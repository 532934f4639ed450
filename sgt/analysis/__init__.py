"""Analyses: what post-training changed inside the models of a study.

``analyses/`` has one file per analysis and nothing else. The interface (``analysis``), making and recording an analysis
(``analyse``), and what the analyses compute are beside that folder.
"""
