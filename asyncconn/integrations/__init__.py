"""Where asyncconn meets other frameworks."""
