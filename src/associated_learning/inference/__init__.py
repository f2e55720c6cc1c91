"""What Algorithm 3 is used for: data sets, leaving early, files. Itself: `ALNetwork.forward`."""
