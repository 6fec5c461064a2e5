"""``python -m gpuvis``."""

from gpuvis.cli import main

main(prog_name="gpuvis")
