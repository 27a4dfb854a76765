"""When to ask about which generation: values in, values out. Time and randomness are arguments."""
