from gitpaas.cli import main

main()
