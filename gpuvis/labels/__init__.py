"""Which samples sit badly with their label. Arrays in, arrays out."""
