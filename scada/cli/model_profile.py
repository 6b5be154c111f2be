"""``scada model profile``: our SC profile, as it is published."""

from __future__ import annotations

import click


@click.command(
    epilog="Example: scada model profile --rdfs > sc.rdf. The pages of docs/model show the tables with what they are for.",
)
@click.option("--rdfs", is_flag=True, help="The RDFS file.")
@click.option("--markdown", is_flag=True, help="Tables with types and meanings.")
@click.option("--lang", type=click.Choice(["en", "zh"]), default="en", show_default=True, help="Language of meanings.")
def profile(*, rdfs: bool, markdown: bool, lang: str) -> None:
    """Print the SC profile: every class and attribute this house adds to CIM, in the namespace urn:scada-ems:sc:1#."""
    from scada.model_cim.sc_profile import as_markdown, rdfs_text, sc_profile

    if rdfs:
        click.echo(rdfs_text(), nl=False)
    elif markdown:
        click.echo(as_markdown(lang), nl=False)
    else:
        for prop in sc_profile().properties.values():
            kind = f"-> {prop.range}" if prop.range else prop.data_type
            click.echo(f"{prop.name}\t{kind}\t{prop.multiplicity}\t{prop.comment.get(lang, '')}")
