"""Build the HTML page of a map."""
