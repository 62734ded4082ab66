"""The engines that ship with Antiphon, one module each, loaded by entry point."""
