"""``sgt trace``: the chain from one cell of a table back to its data."""

import argparse

from sgt.commands.cell_arguments import add_cell, load_cell
from sgt.reporting.evidence.trace import evidence_of_cell, tree


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``sgt trace``."""
    add_cell(parser)
    parser.add_argument("--json", action="store_true", help="the evidence of this cell alone, as in evidence.json")


def run(args: argparse.Namespace) -> None:
    """Print the chain as a tree, or as JSON."""
    _, evidence, cell = load_cell(args)
    if args.json:
        print(evidence_of_cell(evidence, cell).model_dump_json(indent=2))
    else:
        print("\n".join(tree(evidence, cell).lines()))
