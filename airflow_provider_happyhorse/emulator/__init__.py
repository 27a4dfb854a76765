"""A local server that speaks both services' wire formats, takes pretend credits and renders real, small MP4 files.

It is written from the vendors' pages alone and imports nothing from the client side of this package, so that it cannot repeat its mistakes.
"""
