"""`twinset learn`: from shoppers' clicks to figures, and to an order of hits they would click more."""

from pathlib import Path

import click

from twinset.cli.base import json_option, options, print_json, state_option, store_option
from twinset.errors import DataError


@click.command()
@options(store_option, state_option)
@click.option("--shop", "shop_name", default="default", show_default=True, help="Whose shoppers to learn from.")
@click.option("--days", type=click.FloatRange(0.01), default=90, show_default=True, help="How far to look back.")
@click.option(
    "--events",
    type=click.Path(path_type=Path),
    help="The service's event log. [default: events.sqlite in --state]",
)
@click.option("--dry-run", is_flag=True, help="Change nothing.")
@click.option("--forget", is_flag=True, help="Go back to the order without what was learned.")
@json_option
def learn(
    store: str,
    state: str,
    shop_name: str,
    days: float,
    events: Path | None,
    dry_run: bool,
    forget: bool,
    as_json: bool,
) -> None:
    """Print what shoppers made of the hits they were shown, and keep the order their clicks teach.

    It is kept, and the next search goes by it, only where it brings more clicks on lists held out, beyond chance.

    Example: twinset learn --store shop
    """
    from twinset.events import FILE, EventLog
    from twinset.learn.learning import learn, learned_json
    from twinset.ranking import save_ranker
    from twinset.server.settings import ServerSettings, state_folder
    from twinset.store import open_store

    opened = open_store(store)
    if forget and not dry_run:
        save_ranker(opened, None, shop_name)
    file = events or state_folder(ServerSettings(state=state), opened.uri) / FILE
    if forget and not dry_run and not file.is_file():  # nothing to print figures of
        reason = "what was learned is forgotten"
        if as_json:
            print_json({"shop": shop_name, "applied": False, "reason": reason, "in_use": None})
        else:
            click.echo(f"not kept: {reason}")
        return
    if not file.is_file():
        raise DataError(f"{file}: expected the service's event log, found none; give --state FOLDER or --events FILE")
    answer = learned_json(learn(EventLog(file), opened, shop_name, days, dry_run or forget), opened)
    if as_json:
        print_json(answer)
        return
    click.echo(f"{answer['lists']} lists shown, {answer['clicks']} clicks, on {answer['click_through']:.1%} of lists")
    click.echo(
        f"clicks on the first five, a hundred lists: {answer['clicks_at_5']:.1f}; nDCG {answer['ndcg'] or 0:.3f}"
    )
    click.echo("clicked, by place: " + " ".join(f"{at['click_through'] or 0:.1%}" for at in answer["positions"][:10]))
    click.echo("looked at, by place: " + " ".join(f"{share:.2f}" for share in answer["looked_at"][:10]))
    click.echo(f"  {answer['position_bias']}")
    if answer["held_out"]:
        held_out, weights = answer["held_out"], answer["weights"]
        click.echo("weights: " + ", ".join(f"{name} {weight:+.2f}" for name, weight in weights.items()))
        click.echo(
            f"held out: {held_out['clicks_at_5']:.1f} -> {held_out['learned_clicks_at_5']:.1f} on the first five "
            f"({held_out['gain']:+.1%}), p {held_out['p_better']:.4f} and {held_out['p_related']:.4f}"
        )
    click.echo(("kept: " if answer["applied"] else "not kept: ") + answer["reason"])
