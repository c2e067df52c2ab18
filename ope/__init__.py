"""What a policy would have earned, from what another logged. Opens no database, knows no policy class."""
