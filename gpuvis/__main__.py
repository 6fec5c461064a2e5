"""Run the command line as ``python -m gpuvis``."""

from gpuvis.cli.main import main

main(prog_name="gpuvis")
