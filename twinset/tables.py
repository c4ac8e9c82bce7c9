"""Tables on stdout."""

from collections.abc import Sequence


def print_table(header: Sequence[object], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under a header, figures with three decimals, as wide as they need to be."""
    from rich.console import Console
    from rich.table import Table

    table = Table(*(str(cell) for cell in header), box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        table.add_row(*(f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row))
    console = Console()
    Console(width=max(console.width, 200) if not console.is_terminal else None).print(table)
