"""The protocol: fine-tune from several starts with the same search and the same seeds, and compare what comes out."""
