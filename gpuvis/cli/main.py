"""The program around the commands: exit codes, signals and closed streams."""

from __future__ import annotations

import atexit
import errno
import gc
import signal
import sys
from typing import Any

import click

from gpuvis import __version__
from gpuvis.cli.commands import COMMANDS
from gpuvis.cli.terminal import open_streams, printable
from gpuvis.errors import GpuvisError, OutOfMemoryError, is_out_of_memory
from gpuvis.signals import STOPS, Stopped, ignore_stops, stop

# New objects after which Python collects garbage. A collection goes through all objects of the libraries, in 40 ms.
GC_THRESHOLD = 50_000
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


class Program(click.Group):
    """Turn errors into one line on stderr and an exit code."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run a command, and end the process with its exit code."""
        open_streams()
        handlers = {number: signal.signal(number, lambda number, frame: sys.exit(128 + number)) for number in STOPS}
        threshold = gc.get_threshold()
        gc.set_threshold(GC_THRESHOLD)
        atexit.register(gc.freeze)  # saves the last garbage collection, which takes 0.1 s
        try:
            return super().main(*args, **kwargs)
        except OSError as error:
            if error.filename or error.errno not in NO_ROOM:  # an error of a file, not of stdout
                raise
            from gpuvis.cli.console import silence_stdout

            silence_stdout()
            click.echo(f"error: stdout: {error.strerror}; make room there, or send it elsewhere", err=True)
            sys.exit(1)
        finally:
            gc.set_threshold(*threshold)
            if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
                for number, handler in handlers.items():
                    signal.signal(number, handler)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        for number in STOPS:
            signal.signal(number, stop)
        try:
            return super().invoke(ctx)
        except GpuvisError as error:
            click.echo(printable(f"error: {error}"), err=True)
            ctx.exit(error.exit_code)
        except (MemoryError, ImportError) as error:
            if not is_out_of_memory(error):
                raise
            click.echo(
                printable(f"error: memory ran out ({error or 'no more is given'}); use a machine with more"), err=True
            )
            ctx.exit(OutOfMemoryError.exit_code)
        except Stopped as stopped:
            ignore_stops()
            ctx.exit(stopped.exit_code)


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__)
def main() -> None:
    """Turn cached image embeddings into 2-D maps, on a GPU where there is one, on the CPU where there is none.

    \b
    gpuvis demo demo_cache                      write a small real cache to try things on
    gpuvis reduce demo_cache                    draw its UMAP map
    gpuvis reduce feat_cache_vis --umap --tsne  draw two maps of every cache below a folder
    gpuvis plot demo_cache --color_by file_name draw the page again, without reducing
    gpuvis score demo_cache                     measure how far its maps can be trusted
    gpuvis outliers demo_cache                  find labels that are probably wrong
    gpuvis plan --rows 5e6 --dim 1152 --gpu-memory 80GiB   say whether a job fits a GPU, and how it would be done
    gpuvis help                                 list the topics of the manual; gpuvis help page shows one
    """


for command in COMMANDS:
    main.add_command(command)
