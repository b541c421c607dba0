"""`nmm eval`: quality measured on labelled data."""

from __future__ import annotations

import typer

from nmm.cli.commands.eval.retrieval import retrieval
from nmm.cli.commands.eval.sts import sts
from nmm.cli.commands.eval.zero_shot import zero_shot
from nmm.cli.framework.click_classes import Commands

EXAMPLES = """\b
Examples:
  nmm eval retrieval captions.jsonl
  nmm eval retrieval captions.jsonl --model mini --model nomic-v1.5
  nmm eval retrieval captions.jsonl --json --fail-under recall@10=0.8
  nmm eval zero-shot photos_by_class --model mini
  nmm eval sts pairs.tsv --model nomic-v1.5
"""

app = typer.Typer(
    help="Measure search, classification and similarity on labelled data.",
    epilog=EXAMPLES,
    no_args_is_help=True,
    rich_markup_mode=None,
    cls=Commands,
)
app.command()(retrieval)
app.command("zero-shot")(zero_shot)
app.command()(sts)
