"""Help texts: complete sentences in the lists of commands, and an example for each command."""

import click

__all__ = ["HelpGroup", "example"]


class HelpGroup(click.Group):
    """Lists its commands in the order in which they were added, with whole sentences."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Returns the commands in the order in which they were added."""
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the first sentence of each command; click would cut it after 45 letters."""
        rows = [
            (name, command.get_short_help_str(limit=1000))
            for name, command in self.commands.items()
            if not command.hidden
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def example(command: str) -> str:
    """Returns the end of a help text: an example, whose lines are not wrapped."""
    lines = "\n".join(f"  {line}" for line in command.splitlines())
    return f"\b\nExample:\n{lines}"
