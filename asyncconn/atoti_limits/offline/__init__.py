"""What needs no server: the files of Limits, its UI extension, versions and roles."""
