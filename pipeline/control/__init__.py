"""The controller: the loop around the flow, the record of runs, their registry, money and face, for every runner."""
