"""The work behind each command: from cache folders to maps, scores and pages."""
