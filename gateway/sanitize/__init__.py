"""Text on its way in: small pure steps, each from a text to a text and how often it had to act."""
