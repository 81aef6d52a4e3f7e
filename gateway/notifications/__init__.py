"""Tells people what they are to know: messages written, signed and delivered by the controller."""
