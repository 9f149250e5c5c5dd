"""Who calls are for, from where they enter a program: a request, a task, a notebook's cell. Imported by name."""
