"""`accelerate launch` whose failures are exit codes: the child has already said what went wrong."""

from __future__ import annotations

import subprocess
import sys

_SIGNALLED = 128


def main(words: list[str]) -> int:
    """Run `accelerate launch` with these words in this process.

    Returns:
        The training's exit code; 128 plus the signal's number if one ended it.
    """
    from accelerate.commands.launch import launch_command, launch_command_parser
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    try:
        launch_command(launch_command_parser().parse_args(words))
    except subprocess.CalledProcessError as error:
        return error.returncode if error.returncode > 0 else _SIGNALLED - error.returncode
    except ChildFailedError as error:
        return max(1, *(failure.exitcode for failure in error.failures.values()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
