"""What drafting brings on this machine (bench), and whether it changes the text (verify)."""
