"""The server: settings, and the application that puts everything together."""
