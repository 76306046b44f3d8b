"""Networks, one module for each: plain `nn.Module`s that read parents by the rule of `conditioning`."""
