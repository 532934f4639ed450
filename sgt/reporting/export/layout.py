"""Names in an exported folder, and words for its status. What writes it takes seconds to import, so they are apart."""

CARD, LICENCES, REFERENCES = "README.md", "LICENSE.md", "references.bib"
EVIDENCE = "evidence"
# Written last: what was exported, with the hash of every other file but the card.
RELEASE = "release.json"
EXPLORATORY, REPLICATED, NOT_ADMINISTERED = "exploratory", "replicated", "not-administered"
