"""All ``strokewise eval`` commands together; each is declared in a file of its own."""

from strokewise.cli.ablate import ablate
from strokewise.cli.evals import eval_app
from strokewise.cli.judged import compbench, geneval2
from strokewise.cli.probes import probe_app

eval_app.command()(ablate)
eval_app.command()(geneval2)
eval_app.command()(compbench)
eval_app.add_typer(probe_app, name="probe")
