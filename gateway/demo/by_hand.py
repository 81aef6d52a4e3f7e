"""Commands to try by hand against the gateway that goes on serving after the story."""

from rich.console import Console

from gateway.demo.replay import MODEL
from gateway.demo.served import Cast


def print_commands(console: Console, url: str, cast: Cast) -> None:
    """Print commands to try by hand against the gateway that goes on serving."""
    request = (
        '{"inputs": [{"name": "carrier", "shape": [1, 1], "datatype": "BYTES", "data": ["UA"]}, …]}'
    )
    model = f"{url}/admin/models/{MODEL}"
    lines = (
        "",
        f"The gateway goes on serving at {url} until you press Ctrl-C. To try by hand:",
        "",
        f"export CALLER={cast.caller}",
        f"export VIEWER={cast.viewer}",
        f"export DEPLOYER={cast.ann}",
        f"export AUDITOR={cast.auditor}",
        f'curl -H "Authorization: Bearer $CALLER" {url}/v2/models/{MODEL}',
        f"curl -H \"Authorization: Bearer $CALLER\" {url}/v2/models/{MODEL}/infer -d '{request}'",
        f'curl -H "Authorization: Bearer $VIEWER" {model}/rollouts',
        f"curl -H \"Authorization: Bearer $VIEWER\" '{model}/drift?window=1h&format=html' > d.html",
        f'curl -H "Authorization: Bearer $DEPLOYER" {model}/promotions '
        '-d \'{"version": 2, "reason": "by hand", "by_force": true}\'',
        f'curl -H "Authorization: Bearer $DEPLOYER" {model}/rollback '
        '-d \'{"reason": "by hand"}\'',
        f"curl -H \"Authorization: Bearer $AUDITOR\" '{url}/audit/records?outcome=refused&limit=5'",
        f"All routes: {url}/docs",
    )
    for line in lines:
        console.print(line, soft_wrap=True, markup=False, highlight=False)
