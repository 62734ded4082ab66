"""The Socket.IO doors."""
