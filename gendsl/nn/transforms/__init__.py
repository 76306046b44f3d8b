"""Bijections: `forward` from the base to the variable, `inverse` back; one file a layer."""
