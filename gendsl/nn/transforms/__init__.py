"""Bijections: `forward` from the base to the variable, `inverse` from the variable to the base; one file a layer."""
