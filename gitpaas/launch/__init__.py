"""Builds the sandbox around its own process, gives up every right, and becomes the program.

`python -I -S -c START ROOT STEP ARGUMENTS... -- PROGRAM ARGUMENTS...`: the steps (main.py) happen in the order
given. It starts as root and outside, so nothing of the app's may reach it: the app's environment comes with every
name prefixed, where no loader and no interpreter looks for it. Few imports: each costs every start milliseconds.
"""

START = "import sys; sys.path.append(sys.argv[1]); from gitpaas.launch.main import main; sys.exit(main(sys.argv[2:]))"
CARRIED = "GITPAAS_CARRIED_"
FAILED = 125  # the sandbox could not be made; 126 and 127 are the program's own, as in a shell
