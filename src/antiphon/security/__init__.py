"""Who may talk to the server: API keys and web origins."""
