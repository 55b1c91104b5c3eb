"""What needs no server: the files of Limits and their scopes, its UI extension, versions that fit, roles."""
