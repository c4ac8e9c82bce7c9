"""What shoppers' clicks teach: figures, and an order of hits that they would click more."""
