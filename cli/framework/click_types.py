"""The types of Click that annotations need.

Typer contains a copy of Click in a private module and exports only some of its types. Only this
module names the private module, and nothing imports it at run time.
"""

from typer._click import Command, Context, HelpFormatter, Parameter

__all__ = ["Command", "Context", "HelpFormatter", "Parameter"]
