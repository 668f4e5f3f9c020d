"""What the user can put right."""


class UserError(ValueError):
    """Wrong input: entry points print the message as one line and exit with code 2; anything else is a bug."""
