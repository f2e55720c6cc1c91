"""Networks that grow while they train (section 2.2.2): rules, branches, cached activations."""
