"""What each command takes, and its help: a module a command, free of imports that take time."""
