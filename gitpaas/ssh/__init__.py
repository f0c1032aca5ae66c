"""The SSH server: it takes pushes and commands. paramiko speaks SSH, dulwich git's protocol, and git does the work."""
