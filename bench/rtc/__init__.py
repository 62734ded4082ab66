"""WebRTC side by side: what a participant costs in CPU and memory here and elsewhere, and what is added in delay.

Run ``python -m bench.rtc --help``.
"""
