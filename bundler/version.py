"""Which lambdad this is. It imports nothing, so that the client may ask."""

LAMBDAD = "0.1.0"
