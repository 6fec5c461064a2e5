"""Find samples whose label looks wrong, outliers and duplicates. Arrays in, arrays out."""
